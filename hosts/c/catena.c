#include "catena.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <wasmtime/component.h>

#define INTERFACE "catena:pipeline/correlation@1.0.0"

#define DISCARDED "the correlator was discarded after a trap"

/* The interval between epochs: the resolution of the limit on a call's duration. */
#define EPOCH_MS 10

typedef wasmtime_component_val_t val;

struct catena_component {
  wasm_engine_t *engine;
  wasmtime_component_t *component;
  pthread_t epochs;
  _Atomic bool stopped;
};

struct catena_correlator {
  catena_component *component;
  wasmtime_store_t *store;
  wasmtime_component_instance_t instance;
  wasmtime_component_resource_any_t *handle;
  uint32_t batch_limit;
  uint32_t call_ms;
  /* After a trap, nothing in the instance can be trusted. */
  bool discarded;
};

static void *checked(void *memory) {
  if (memory == NULL) {
    fputs("catena: out of memory\n", stderr);
    abort();
  }
  return memory;
}

static char *copy(const char *data, size_t size) {
  char *text = checked(malloc(size + 1));
  memcpy(text, data, size);
  text[size] = 0;
  return text;
}

static char *copy_of(catena_text text) { return copy(text.data, text.size); }

static void set(catena_error *error, const char *kind, const char *path, const char *message) {
  if (error == NULL) return;
  error->kind = kind ? copy(kind, strlen(kind)) : NULL;
  error->path = path ? copy(path, strlen(path)) : NULL;
  error->message = copy(message, strlen(message));
}

void catena_error_free(catena_error *error) {
  free(error->kind);
  free(error->path);
  free(error->message);
  *error = (catena_error){0};
}

/* Takes the message out of an error of Wasmtime. */
static void take(wasmtime_error_t *from, const char *before, catena_error *error) {
  wasm_byte_vec_t message;
  wasmtime_error_message(from, &message);
  char *text = checked(malloc(strlen(before) + message.size + 1));
  sprintf(text, "%s%.*s", before, (int)message.size, message.data);
  set(error, NULL, NULL, text);
  free(text);
  wasm_byte_vec_delete(&message);
  wasmtime_error_delete(from);
}

static void *tick(void *of) {
  catena_component *component = of;
  const struct timespec epoch = {.tv_nsec = EPOCH_MS * 1000 * 1000};
  while (!component->stopped) {
    nanosleep(&epoch, NULL);
    wasmtime_engine_increment_epoch(component->engine);
  }
  return NULL;
}

catena_component *catena_component_new(const uint8_t *bytes, size_t size, catena_error *error) {
  wasm_config_t *config = wasm_config_new();
  wasmtime_config_wasm_component_model_set(config, true);
  wasmtime_config_epoch_interruption_set(config, true);
  wasm_engine_t *engine = wasm_engine_new_with_config(config);
  wasmtime_component_t *compiled;
  wasmtime_error_t *failed = wasmtime_component_new(engine, bytes, size, &compiled);
  if (failed != NULL) {
    take(failed, "the component cannot be loaded: ", error);
    wasm_engine_delete(engine);
    return NULL;
  }
  catena_component *component = checked(calloc(1, sizeof *component));
  component->engine = engine;
  component->component = compiled;
  if (pthread_create(&component->epochs, NULL, tick, component) != 0) {
    fputs("catena: no thread can be started\n", stderr);
    abort();
  }
  return component;
}

void catena_component_free(catena_component *component) {
  if (component == NULL) return;
  component->stopped = true;
  pthread_join(component->epochs, NULL);
  wasmtime_component_delete(component->component);
  wasm_engine_delete(component->engine);
  free(component);
}

/* ---- Values ---- */

static val text_val(const char *data, size_t size) {
  val text = {.kind = WASMTIME_COMPONENT_STRING};
  wasm_byte_vec_new(&text.of.string, size, data);
  return text;
}

static val variant_val(const char *name, val inner) {
  val variant = {.kind = WASMTIME_COMPONENT_VARIANT};
  wasm_name_new_from_string(&variant.of.variant.discriminant, name);
  variant.of.variant.val = wasmtime_component_val_new(&inner);
  return variant;
}

/* A batch: text if it can be, because a list takes 32 bytes for each of its bytes. Wasmtime ends the process for a string that is
   not UTF-8. */
static val batch_val(const char *batch, size_t size) {
  if (catena_is_utf8(batch, size)) return variant_val("text", text_val(batch, size));
  val list = {.kind = WASMTIME_COMPONENT_LIST};
  wasmtime_component_vallist_new_uninit(&list.of.list, size);
  for (size_t at = 0; at < size; at++)
    list.of.list.data[at] = (val){.kind = WASMTIME_COMPONENT_U8, .of.u8 = (uint8_t)batch[at]};
  return variant_val("bytes", list);
}

static val enum_val(const char *name) {
  val value = {.kind = WASMTIME_COMPONENT_ENUM};
  wasm_name_new_from_string(&value.of.enumeration, name);
  return value;
}

static val handle_val(catena_correlator *correlator) {
  val handle = {.kind = WASMTIME_COMPONENT_RESOURCE};
  handle.of.resource = wasmtime_component_resource_any_clone(correlator->handle);
  return handle;
}

/* A member of a record; NULL from a component that answers something else. */
static const val *member(const val *record, const char *name) {
  if (record == NULL || record->kind != WASMTIME_COMPONENT_RECORD) return NULL;
  for (size_t at = 0; at < record->of.record.size; at++) {
    const wasmtime_component_valrecord_entry_t *entry = &record->of.record.data[at];
    if (entry->name.size == strlen(name) && memcmp(entry->name.data, name, entry->name.size) == 0) return &entry->val;
  }
  return NULL;
}

static uint32_t number(const val *record, const char *name) {
  const val *value = member(record, name);
  return value != NULL && value->kind == WASMTIME_COMPONENT_U32 ? value->of.u32 : 0;
}

static uint64_t long_number(const val *record, const char *name) {
  const val *value = member(record, name);
  return value != NULL && value->kind == WASMTIME_COMPONENT_U64 ? value->of.u64 : 0;
}

/* A text, or the text in an option; without data if there is none. */
static catena_text text(const val *record, const char *name) {
  const val *value = member(record, name);
  if (value != NULL && value->kind == WASMTIME_COMPONENT_OPTION) value = value->of.option;
  if (value == NULL || value->kind != WASMTIME_COMPONENT_STRING) return (catena_text){NULL, 0};
  return (catena_text){value->of.string.data, value->of.string.size};
}

static const wasmtime_component_vallist_t *list(const val *record, const char *name) {
  static const wasmtime_component_vallist_t none = {0};
  const val *value = member(record, name);
  return value != NULL && value->kind == WASMTIME_COMPONENT_LIST ? &value->of.list : &none;
}

/* RFC 3629. */
bool catena_is_utf8(const char *bytes, size_t size) {
  const unsigned char *at = (const unsigned char *)bytes, *end = at + size;
  while (at < end) {
    unsigned char first = *at++;
    if (first < 0x80) continue;
    int more = first >= 0xC2 && first <= 0xDF ? 1 : first >= 0xE0 && first <= 0xEF ? 2 : first >= 0xF0 && first <= 0xF4 ? 3 : 0;
    if (more == 0 || end - at < more) return false;
    unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (*at < low || *at > high) return false;
    for (int byte = 1; byte < more; byte++)
      if (at[byte] < 0x80 || at[byte] > 0xBF) return false;
    at += more;
  }
  return true;
}

/* ---- Calls ---- */

/* Calls a function of the interface, frees the arguments and, of a `result`, gives the value in it. */
static catena_status call(catena_correlator *correlator, const char *name, val *arguments, size_t count, val *answer,
                          catena_error *error) {
  catena_status status = CATENA_TRAP;
  *answer = (val){.kind = WASMTIME_COMPONENT_BOOL};
  if (correlator->discarded) {
    set(error, NULL, NULL, DISCARDED);
    goto done;
  }
  wasmtime_context_t *context = wasmtime_store_context(correlator->store);
  wasmtime_context_set_epoch_deadline(context, correlator->call_ms / EPOCH_MS + 1);
  wasmtime_component_instance_t *instance = &correlator->instance;
  wasmtime_component_export_index_t *interface =
      wasmtime_component_instance_get_export_index(instance, context, NULL, INTERFACE, strlen(INTERFACE));
  wasmtime_component_export_index_t *index =
      interface ? wasmtime_component_instance_get_export_index(instance, context, interface, name, strlen(name)) : NULL;
  wasmtime_component_func_t function;
  bool found = index != NULL && wasmtime_component_instance_get_func(instance, context, index, &function);
  if (index != NULL) wasmtime_component_export_index_delete(index);
  if (interface != NULL) wasmtime_component_export_index_delete(interface);
  if (!found) {
    correlator->discarded = true;
    set(error, NULL, NULL, "the component cannot be loaded: it is not of the world " INTERFACE);
    goto done;
  }
  wasmtime_error_t *failed = wasmtime_component_func_call(&function, context, arguments, count, answer, 1);
  if (failed != NULL) {
    correlator->discarded = true;
    take(failed, "the component failed: ", error);
    goto done;
  }
  status = CATENA_OK;
  if (answer->kind == WASMTIME_COMPONENT_RESULT) {
    val inner = *answer->of.result.val;
    if (!answer->of.result.is_ok) {
      status = CATENA_FAULT;
      const val *kind = member(&inner, "kind");
      if (error != NULL) {
        error->kind = kind != NULL && kind->kind == WASMTIME_COMPONENT_ENUM
                          ? copy(kind->of.enumeration.data, kind->of.enumeration.size)
                          : copy("other", 5);
        error->path = copy_of(text(&inner, "path"));
        error->message = copy_of(text(&inner, "message"));
      }
      wasmtime_component_val_delete(answer);
      *answer = (val){.kind = WASMTIME_COMPONENT_BOOL};
    }
  }
done:
  for (size_t at = 0; at < count; at++) wasmtime_component_val_delete(&arguments[at]);
  return status;
}

/* The value in a `result` that is ok. */
static const val *in_result(const val *answer) {
  return answer->kind == WASMTIME_COMPONENT_RESULT ? answer->of.result.val : answer;
}

static catena_status instantiate(catena_component *component, uint32_t call_ms, uint64_t memory_bytes,
                                 catena_correlator **opened, catena_error *error) {
  catena_correlator *correlator = checked(calloc(1, sizeof *correlator));
  correlator->component = component;
  correlator->call_ms = call_ms;
  correlator->store = wasmtime_store_new(component->engine, NULL, NULL);
  int64_t memory = memory_bytes > INT64_MAX ? -1 : (int64_t)memory_bytes;
  wasmtime_store_limiter(correlator->store, memory, 20000, 64, 64, 64);
  wasmtime_context_t *context = wasmtime_store_context(correlator->store);
  wasmtime_context_set_epoch_deadline(context, call_ms / EPOCH_MS + 1);
  /* The linker is empty, so a component with imports is refused. */
  wasmtime_component_linker_t *linker = wasmtime_component_linker_new(component->engine);
  wasmtime_error_t *failed =
      wasmtime_component_linker_instantiate(linker, context, component->component, &correlator->instance);
  wasmtime_component_linker_delete(linker);
  if (failed != NULL) {
    take(failed, "the component cannot be loaded: ", error);
    catena_free(correlator);
    return CATENA_TRAP;
  }
  *opened = correlator;
  return CATENA_OK;
}

catena_status catena_open(catena_component *component, const char *config, const char *checkpoint, uint32_t call_ms,
                          uint64_t memory_bytes, catena_correlator **opened, catena_error *error) {
  catena_correlator *correlator;
  catena_status status = instantiate(component, call_ms, memory_bytes, &correlator, error);
  if (status != CATENA_OK) return status;
  val answer, arguments[2] = {text_val(config, strlen(config))};
  if (checkpoint == NULL) {
    status = call(correlator, "[static]correlator.open", arguments, 1, &answer, error);
  } else {
    arguments[1] = variant_val("base64", text_val(checkpoint, strlen(checkpoint)));
    status = call(correlator, "[static]correlator.resume", arguments, 2, &answer, error);
  }
  if (status == CATENA_OK) {
    correlator->handle = wasmtime_component_resource_any_clone(in_result(&answer)->of.resource);
    wasmtime_component_val_delete(&answer);
    val limit_of[1] = {handle_val(correlator)};
    status = call(correlator, "[method]correlator.batch-limit", limit_of, 1, &answer, error);
    if (status == CATENA_OK) correlator->batch_limit = answer.of.u32;
  }
  if (status != CATENA_OK) {
    catena_free(correlator);
    return status;
  }
  *opened = correlator;
  return CATENA_OK;
}

void catena_free(catena_correlator *correlator) {
  if (correlator == NULL) return;
  if (correlator->handle != NULL) wasmtime_component_resource_any_delete(correlator->handle);
  /* The store has all memory of the instance. */
  wasmtime_store_delete(correlator->store);
  free(correlator);
}

uint32_t catena_batch_limit(const catena_correlator *correlator) { return correlator->batch_limit; }

/* Refuses what must not reach the component. */
static catena_status check(const catena_correlator *correlator, size_t size, catena_error *error) {
  if (correlator->discarded) {
    set(error, NULL, NULL, DISCARDED);
    return CATENA_TRAP;
  }
  if (size > correlator->batch_limit) {
    char message[96];
    snprintf(message, sizeof message, "the batch has %zu bytes, the limit is %u", size, correlator->batch_limit);
    set(error, "limit-exceeded", "batch", message);
    return CATENA_FAULT;
  }
  return CATENA_OK;
}

/* Takes the flat edits of the contract apart, and checks them before a batch is cut by them. */
static bool read_edits(catena_outcome *outcome, const val *edits, size_t length) {
  const wasmtime_component_vallist_t *places = list(edits, "places");
  catena_text all = text(edits, "text");
  outcome->edit_count = places->size / 3;
  outcome->edits = checked(calloc(outcome->edit_count + 1, sizeof *outcome->edits));
  size_t at = 0, last = 0;
  for (size_t place = 0; place < outcome->edit_count; place++) {
    const val *numbers = &places->data[3 * place];
    uint32_t start = numbers[0].of.u32, end = numbers[1].of.u32, size = numbers[2].of.u32;
    if (start < last || end < start || end > length || size > all.size - at) return false;
    outcome->edits[place] = (catena_edit){start, end, {all.data + at, size}};
    at += size;
    last = end;
  }
  return at == all.size && places->size % 3 == 0;
}

static catena_place *read_places(const val *answer, const char *name, size_t *count) {
  const wasmtime_component_vallist_t *from = list(answer, name);
  *count = from->size;
  catena_place *places = checked(calloc(from->size + 1, sizeof *places));
  for (size_t at = 0; at < from->size; at++) {
    const val *one = &from->data[at];
    places[at] = (catena_place){number(one, "start"), number(one, "end"), text(one, "code"), text(one, "detail")};
  }
  return places;
}

catena_status catena_process(catena_correlator *correlator, const char *batch, size_t size, uint64_t now_ms,
                             catena_outcome *outcome, catena_error *error) {
  *outcome = (catena_outcome){.answer = {.kind = WASMTIME_COMPONENT_BOOL}};
  catena_status status = check(correlator, size, error);
  if (status != CATENA_OK) return status;
  val now = {.kind = WASMTIME_COMPONENT_OPTION};
  if (now_ms != CATENA_NO_TIME) {
    val time = {.kind = WASMTIME_COMPONENT_U64, .of.u64 = now_ms};
    now.of.option = wasmtime_component_val_new(&time);
  }
  val arguments[] = {handle_val(correlator), batch_val(batch, size), now};
  status = call(correlator, "[method]correlator.process", arguments, 3, &outcome->answer, error);
  if (status != CATENA_OK) return status;
  const val *answer = in_result(&outcome->answer);
  outcome->records = number(answer, "records");
  outcome->matched = number(answer, "matched");
  outcome->dropped = number(answer, "dropped");
  outcome->extra = text(answer, "extra");
  if (!read_edits(outcome, member(answer, "edits"), size)) {
    correlator->discarded = true;
    set(error, NULL, NULL, "the component's answer violates its contract: its edits do not fit the batch");
    catena_outcome_free(outcome);
    return CATENA_TRAP;
  }
  const wasmtime_component_vallist_t *findings = list(answer, "findings");
  outcome->finding_count = findings->size;
  outcome->findings = checked(calloc(findings->size + 1, sizeof *outcome->findings));
  for (size_t at = 0; at < findings->size; at++) {
    const val *one = &findings->data[at], *severity = member(one, "severity-id");
    outcome->findings[at] = (catena_finding){
        .id = text(one, "id"),
        .rule = text(one, "rule"),
        .body = text(one, "body"),
        .extra = text(one, "extra"),
        .severity_id = severity != NULL ? severity->of.u8 : 0,
        .first_seen_ms = long_number(one, "first-seen-ms"),
        .last_seen_ms = long_number(one, "last-seen-ms"),
        .start = number(one, "start"),
        .end = number(one, "end"),
    };
  }
  outcome->rejections = read_places(answer, "rejections", &outcome->rejection_count);
  outcome->unrecognised = read_places(answer, "unrecognised", &outcome->unrecognised_count);
  return CATENA_OK;
}

void catena_outcome_free(catena_outcome *outcome) {
  free(outcome->edits);
  free(outcome->findings);
  free(outcome->rejections);
  free(outcome->unrecognised);
  wasmtime_component_val_delete(&outcome->answer);
  *outcome = (catena_outcome){.answer = {.kind = WASMTIME_COMPONENT_BOOL}};
}

catena_status catena_route_batch(catena_correlator *correlator, const char *batch, size_t size, uint32_t partitions,
                                 catena_route **routes, size_t *count, catena_error *error) {
  catena_status status = check(correlator, size, error);
  if (status != CATENA_OK) return status;
  val answer, arguments[] = {handle_val(correlator), batch_val(batch, size),
                             {.kind = WASMTIME_COMPONENT_U32, .of.u32 = partitions}};
  status = call(correlator, "[method]correlator.route", arguments, 3, &answer, error);
  if (status != CATENA_OK) return status;
  const wasmtime_component_vallist_t *from = &in_result(&answer)->of.list;
  *count = from->size;
  *routes = checked(calloc(from->size + 1, sizeof **routes));
  for (size_t at = 0; at < from->size; at++) {
    const val *one = &from->data[at];
    const wasmtime_component_vallist_t *to = list(one, "partitions");
    catena_route *route = &(*routes)[at];
    *route = (catena_route){number(one, "start"), number(one, "end"), number(one, "records"), NULL, to->size};
    route->partitions = checked(calloc(to->size + 1, sizeof *route->partitions));
    for (size_t place = 0; place < to->size; place++) route->partitions[place] = to->data[place].of.u32;
  }
  wasmtime_component_val_delete(&answer);
  return CATENA_OK;
}

void catena_routes_free(catena_route *routes, size_t count) {
  for (size_t at = 0; at < count; at++) free(routes[at].partitions);
  free(routes);
}

/* The text that a call answers. */
static catena_status take_text(catena_status status, val *answer, char **taken) {
  if (status != CATENA_OK) return status;
  const val *value = in_result(answer);
  if (value->kind == WASMTIME_COMPONENT_VARIANT) value = value->of.variant.val;
  *taken = value->kind == WASMTIME_COMPONENT_STRING ? copy(value->of.string.data, value->of.string.size) : copy("", 0);
  wasmtime_component_val_delete(answer);
  return CATENA_OK;
}

catena_status catena_checkpoint(catena_correlator *correlator, char **base64, catena_error *error) {
  val answer, arguments[] = {handle_val(correlator), enum_val("base64")};
  return take_text(call(correlator, "[method]correlator.checkpoint", arguments, 2, &answer, error), &answer, base64);
}

catena_status catena_metrics(catena_correlator *correlator, wasmtime_component_val_t *metrics, catena_error *error) {
  val arguments[] = {handle_val(correlator)};
  return call(correlator, "[method]correlator.metrics", arguments, 1, metrics, error);
}

catena_status catena_join_annotations(catena_correlator *correlator, const char *const *texts, size_t count,
                                      char **joined, catena_error *error) {
  val answer, arguments[1] = {{.kind = WASMTIME_COMPONENT_LIST}};
  wasmtime_component_vallist_new_uninit(&arguments[0].of.list, count);
  for (size_t at = 0; at < count; at++) arguments[0].of.list.data[at] = text_val(texts[at], strlen(texts[at]));
  return take_text(call(correlator, "join-annotations", arguments, 1, &answer, error), &answer, joined);
}

catena_status catena_describe(catena_component *component, char **description, catena_error *error) {
  catena_correlator *correlator;
  catena_status status = instantiate(component, 10000, UINT64_MAX, &correlator, error);
  if (status != CATENA_OK) return status;
  val answer;
  status = take_text(call(correlator, "describe", NULL, 0, &answer, error), &answer, description);
  catena_free(correlator);
  return status;
}
