/* The driver of this host for the conformance kit, see conformance/README.md: conformance --component FILE. JSON by cJSON. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cjson/cJSON.h>
#include <wasmtime/component.h>

#include "catena.h"

/* A call may take this long, and memory grow to this. */
#define CALL_MS 60000
#define MEMORY (1ull << 30)

#define MAX_CORRELATORS 32

static catena_component *component;
static struct {
  char *name;
  catena_correlator *correlator;
} correlators[MAX_CORRELATORS];
static size_t opened;

static void fail(const char *why) {
  fprintf(stderr, "conformance: %s\n", why);
  exit(2);
}

static catena_correlator **named(const char *name) {
  for (size_t at = opened; at-- > 0;)
    if (strcmp(correlators[at].name, name) == 0) return &correlators[at].correlator;
  fail("the kit names no correlator");
  return NULL;
}

static const char *text_of(const cJSON *question, const char *name) {
  const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(question, name));
  return text == NULL ? "" : text;
}

/* ---- Texts and bytes ---- */

typedef struct {
  char *data;
  size_t size;
} bytes;

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static bytes decode(const char *base64) {
  size_t length = strlen(base64);
  bytes decoded = {malloc(length + 1), 0};
  unsigned group = 0, bits = 0;
  for (size_t at = 0; at < length && base64[at] != '='; at++) {
    const char *letter = strchr(ALPHABET, base64[at]);
    if (letter == NULL) fail("the kit has no base64");
    group = group << 6 | (unsigned)(letter - ALPHABET);
    if ((bits += 6) >= 8) decoded.data[decoded.size++] = (char)(group >> (bits -= 8));
  }
  return decoded;
}

static char *encode(const unsigned char *data, size_t size) {
  char *base64 = malloc((size + 2) / 3 * 4 + 1), *to = base64;
  for (size_t at = 0; at < size; at += 3) {
    unsigned group = (unsigned)data[at] << 16;
    if (at + 1 < size) group |= (unsigned)data[at + 1] << 8;
    if (at + 2 < size) group |= data[at + 2];
    for (size_t letter = 0; letter < 4; letter++)
      *to++ = letter <= size - at ? ALPHABET[group >> (18 - 6 * letter) & 63] : '=';
  }
  *to = 0;
  return base64;
}

static cJSON *string(catena_text text) {
  if (text.data == NULL) return cJSON_CreateNull();
  char *ended = malloc(text.size + 1);
  memcpy(ended, text.data, text.size);
  ended[text.size] = 0;
  cJSON *made = cJSON_CreateString(ended);
  free(ended);
  return made;
}

static cJSON *taken(char *text) {
  cJSON *made = cJSON_CreateString(text);
  free(text);
  return made;
}

static void push(cJSON *list, double number) { cJSON_AddItemToArray(list, cJSON_CreateNumber(number)); }

/* ---- Answers ---- */

static cJSON *places(const catena_place *from, size_t count, bool detailed) {
  cJSON *list = cJSON_CreateArray();
  for (size_t at = 0; at < count; at++) {
    cJSON *place = cJSON_CreateArray();
    push(place, from[at].start);
    push(place, from[at].end);
    cJSON_AddItemToArray(place, string(from[at].code));
    if (detailed) cJSON_AddItemToArray(place, string(from[at].detail));
    cJSON_AddItemToArray(list, place);
  }
  return list;
}

static cJSON *outcome_of(const catena_outcome *outcome, bytes batch) {
  cJSON *answer = cJSON_CreateObject(), *edits = cJSON_CreateArray(), *findings = cJSON_CreateArray();
  cJSON_AddNumberToObject(answer, "records", outcome->records);
  cJSON_AddNumberToObject(answer, "matched", outcome->matched);
  cJSON_AddNumberToObject(answer, "dropped", outcome->dropped);
  size_t size = batch.size, at = 0, written = 0;
  for (size_t edit = 0; edit < outcome->edit_count; edit++) size += outcome->edits[edit].text.size;
  char *output = malloc(size + 1);
  for (size_t edit = 0; edit < outcome->edit_count; edit++) {
    const catena_edit *one = &outcome->edits[edit];
    cJSON *numbers = cJSON_CreateArray();
    push(numbers, one->start);
    push(numbers, one->end);
    cJSON_AddItemToArray(numbers, string(one->text));
    cJSON_AddItemToArray(edits, numbers);
    memcpy(output + written, batch.data + at, one->start - at);
    written += one->start - at;
    memcpy(output + written, one->text.data, one->text.size);
    written += one->text.size;
    at = one->end;
  }
  memcpy(output + written, batch.data + at, batch.size - at);
  written += batch.size - at;
  cJSON_AddItemToObject(answer, "edits", edits);
  if (catena_is_utf8(output, written)) {
    cJSON_AddItemToObject(answer, "output", string((catena_text){output, written}));
  } else {
    cJSON_AddItemToObject(cJSON_AddObjectToObject(answer, "output"), "base64",
                          taken(encode((const unsigned char *)output, written)));
  }
  free(output);
  for (size_t finding = 0; finding < outcome->finding_count; finding++) {
    const catena_finding *one = &outcome->findings[finding];
    cJSON *made = cJSON_CreateObject();
    cJSON_AddItemToObject(made, "id", string(one->id));
    cJSON_AddItemToObject(made, "rule", string(one->rule));
    cJSON_AddNumberToObject(made, "severity_id", one->severity_id);
    cJSON_AddNumberToObject(made, "first_seen_ms", (double)one->first_seen_ms);
    cJSON_AddNumberToObject(made, "last_seen_ms", (double)one->last_seen_ms);
    cJSON_AddNumberToObject(made, "start", one->start);
    cJSON_AddNumberToObject(made, "end", one->end);
    cJSON_AddItemToObject(made, "body", string(one->body));
    cJSON_AddItemToObject(made, "extra", string(one->extra));
    cJSON_AddItemToArray(findings, made);
  }
  cJSON_AddItemToObject(answer, "findings", findings);
  cJSON_AddItemToObject(answer, "rejections", places(outcome->rejections, outcome->rejection_count, true));
  cJSON_AddItemToObject(answer, "unrecognised", places(outcome->unrecognised, outcome->unrecognised_count, false));
  cJSON_AddItemToObject(answer, "extra", string(outcome->extra));
  return answer;
}

static const wasmtime_component_val_t *member(const wasmtime_component_val_t *record, const char *name) {
  for (size_t at = 0; at < record->of.record.size; at++) {
    const wasmtime_component_valrecord_entry_t *entry = &record->of.record.data[at];
    if (entry->name.size == strlen(name) && memcmp(entry->name.data, name, entry->name.size) == 0) return &entry->val;
  }
  fail("a metric has no such member");
  return NULL;
}

static catena_text text_val(const wasmtime_component_val_t *value) {
  return (catena_text){value->of.string.data, value->of.string.size};
}

static cJSON *metrics_of(const wasmtime_component_val_t *metrics) {
  cJSON *list = cJSON_CreateArray();
  for (size_t at = 0; at < metrics->of.list.size; at++) {
    const wasmtime_component_val_t *metric = &metrics->of.list.data[at], *labels = member(metric, "labels");
    const wasm_name_t *kind = &member(metric, "kind")->of.enumeration;
    cJSON *made = cJSON_CreateArray(), *named_values = cJSON_CreateObject();
    cJSON_AddItemToArray(made, string(text_val(member(metric, "name"))));
    cJSON_AddItemToArray(made, string((catena_text){kind->data, kind->size}));
    for (size_t label = 0; label < labels->of.list.size; label++) {
      const wasmtime_component_valtuple_t *pair = &labels->of.list.data[label].of.tuple;
      cJSON *name = string(text_val(&pair->data[0]));
      cJSON_AddItemToObject(named_values, cJSON_GetStringValue(name), string(text_val(&pair->data[1])));
      cJSON_Delete(name);
    }
    cJSON_AddItemToArray(made, named_values);
    push(made, (double)member(metric, "value")->of.u64);
    cJSON_AddItemToArray(list, made);
  }
  return list;
}

static bytes batch_of(const cJSON *question) {
  if (cJSON_HasObjectItem(question, "batch_base64")) return decode(text_of(question, "batch_base64"));
  const char *text = text_of(question, "batch");
  return (bytes){strdup(text), strlen(text)};
}

/* The functions of this host take any bytes. What the kit calls text must be text. */
static bool is_bad_text(const cJSON *question, bytes batch, catena_error *error) {
  if (strcmp(text_of(question, "form"), "text") != 0 || catena_is_utf8(batch.data, batch.size)) return false;
  *error = (catena_error){strdup("invalid-argument"), strdup("batch"), strdup("expected UTF-8")};
  free(batch.data);
  return true;
}

static uint64_t time_of(const cJSON *question) {
  const cJSON *now = cJSON_GetObjectItemCaseSensitive(question, "now_ms");
  return cJSON_IsNumber(now) ? (uint64_t)now->valuedouble : CATENA_NO_TIME;
}

static catena_status open_named(const cJSON *question, const char *checkpoint, catena_error *error) {
  if (opened == MAX_CORRELATORS) fail("the kit opens too many correlators");
  catena_correlator *correlator;
  catena_status status =
      catena_open(component, text_of(question, "config"), checkpoint, CALL_MS, MEMORY, &correlator, error);
  if (status == CATENA_OK) {
    correlators[opened].name = strdup(text_of(question, "as"));
    correlators[opened++].correlator = correlator;
  }
  return status;
}

static uint8_t *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) fail("the component cannot be read");
  *size = (size_t)ftell(file);
  rewind(file);
  uint8_t *data = malloc(*size + 1);
  if (fread(data, 1, *size, file) != *size) fail("the component cannot be read");
  fclose(file);
  return data;
}

/* Processes a file in batches of whole lines. */
static catena_status time_file(catena_correlator *on, const cJSON *question, cJSON **answer, catena_error *error) {
  size_t size, most = (size_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(question, "batch_bytes"));
  int times = (int)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(question, "times"));
  char *text = (char *)read_file(text_of(question, "file"), &size);
  struct timespec began, ended;
  clock_gettime(CLOCK_MONOTONIC, &began);
  for (; times > 0; times--) {
    for (size_t at = 0, end; at < size; at = end) {
      end = at + most < size ? at + most : size;
      const char *line_feed = memchr(text + end - 1, '\n', size - end + 1);
      end = line_feed == NULL ? size : (size_t)(line_feed - text) + 1;
      catena_outcome outcome;
      catena_status status = catena_process(on, text + at, end - at, CATENA_NO_TIME, &outcome, error);
      if (status != CATENA_OK) return free(text), status;
      catena_outcome_free(&outcome);
    }
  }
  clock_gettime(CLOCK_MONOTONIC, &ended);
  free(text);
  *answer = cJSON_CreateNumber((double)(ended.tv_sec - began.tv_sec) * 1e3 + (double)(ended.tv_nsec - began.tv_nsec) / 1e6);
  return CATENA_OK;
}

/* The answer to a question in *answer, if the call succeeds. */
static catena_status ask(const cJSON *question, cJSON **answer, catena_error *error) {
  const char *what = text_of(question, "ask");
  char *text = NULL;
  catena_status status = CATENA_OK;
  if (strcmp(what, "open") == 0) return open_named(question, NULL, error);
  if (strcmp(what, "resume") == 0) return open_named(question, text_of(question, "checkpoint"), error);
  if (strcmp(what, "describe") == 0) {
    if ((status = catena_describe(component, &text, error)) == CATENA_OK) *answer = taken(text);
    return status;
  }
  if (strcmp(what, "join_annotations") == 0) {
    catena_correlator *correlator;
    if ((status = catena_open(component, "", NULL, CALL_MS, MEMORY, &correlator, error)) != CATENA_OK) return status;
    const cJSON *texts = cJSON_GetObjectItemCaseSensitive(question, "texts");
    size_t count = (size_t)cJSON_GetArraySize(texts);
    const char **list = calloc(count + 1, sizeof *list);
    for (size_t at = 0; at < count; at++) list[at] = cJSON_GetStringValue(cJSON_GetArrayItem(texts, (int)at));
    status = catena_join_annotations(correlator, list, count, &text, error);
    if (status == CATENA_OK) *answer = taken(text);
    free(list);
    catena_free(correlator);
    return status;
  }
  catena_correlator **on = named(text_of(question, "on"));
  if (strcmp(what, "close") == 0) {
    catena_free(*on);
    *on = NULL;
    return CATENA_OK;
  }
  if (strcmp(what, "batch_limit") == 0) {
    *answer = cJSON_CreateNumber(catena_batch_limit(*on));
    return CATENA_OK;
  }
  if (strcmp(what, "process") == 0) {
    bytes batch = batch_of(question);
    if (is_bad_text(question, batch, error)) return CATENA_FAULT;
    catena_outcome outcome;
    status = catena_process(*on, batch.data, batch.size, time_of(question), &outcome, error);
    if (status == CATENA_OK) {
      *answer = outcome_of(&outcome, batch);
      catena_outcome_free(&outcome);
    }
    free(batch.data);
    return status;
  }
  if (strcmp(what, "route") == 0) {
    bytes batch = batch_of(question);
    if (is_bad_text(question, batch, error)) return CATENA_FAULT;
    catena_route *routes;
    size_t count;
    uint32_t partitions = (uint32_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(question, "partitions"));
    status = catena_route_batch(*on, batch.data, batch.size, partitions, &routes, &count, error);
    free(batch.data);
    if (status != CATENA_OK) return status;
    *answer = cJSON_CreateArray();
    for (size_t at = 0; at < count; at++) {
      cJSON *route = cJSON_CreateArray(), *to = cJSON_CreateArray();
      push(route, routes[at].start);
      push(route, routes[at].end);
      push(route, routes[at].records);
      for (size_t place = 0; place < routes[at].partition_count; place++) push(to, routes[at].partitions[place]);
      cJSON_AddItemToArray(route, to);
      cJSON_AddItemToArray(*answer, route);
    }
    catena_routes_free(routes, count);
    return CATENA_OK;
  }
  if (strcmp(what, "time") == 0) return time_file(*on, question, answer, error);
  if (strcmp(what, "checkpoint") == 0) {
    if ((status = catena_checkpoint(*on, &text, error)) == CATENA_OK) *answer = taken(text);
    return status;
  }
  if (strcmp(what, "metrics") == 0) {
    wasmtime_component_val_t metrics;
    if ((status = catena_metrics(*on, &metrics, error)) == CATENA_OK) {
      *answer = metrics_of(&metrics);
      wasmtime_component_val_delete(&metrics);
    }
    return status;
  }
  fail("the kit asks for something else");
  return CATENA_TRAP;
}

int main(int argc, char **argv) {
  if (argc != 3 || strcmp(argv[1], "--component") != 0) return fputs("usage: conformance --component FILE\n", stderr), 2;
  size_t size, room = 0;
  uint8_t *file = read_file(argv[2], &size);
  catena_error error = {0};
  component = catena_component_new(file, size, &error);
  if (component == NULL) fail(error.message);
  char *line = NULL;
  while (getline(&line, &room, stdin) > 0) {
    cJSON *question = cJSON_Parse(line), *reply = cJSON_CreateObject(), *answer = NULL;
    if (question == NULL) fail("a question is no JSON");
    switch (ask(question, &answer, &error)) {
    case CATENA_OK:
      cJSON_AddItemToObject(reply, "ok", answer != NULL ? answer : cJSON_CreateNull());
      break;
    case CATENA_FAULT: {
      cJSON *fault = cJSON_AddObjectToObject(reply, "fault");
      cJSON_AddStringToObject(fault, "kind", error.kind);
      cJSON_AddStringToObject(fault, "path", error.path);
      cJSON_AddStringToObject(fault, "message", error.message);
      break;
    }
    case CATENA_TRAP:
      cJSON_AddStringToObject(reply, "trap", error.message);
    }
    catena_error_free(&error);
    char *printed = cJSON_PrintUnformatted(reply);
    puts(printed);
    fflush(stdout);
    free(printed);
    cJSON_Delete(reply);
    cJSON_Delete(question);
  }
  return 0;
}
