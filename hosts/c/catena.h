/* The Catena component in C, over Wasmtime's C API. See README.md; `example.c` is a whole program. */

#ifndef CATENA_H
#define CATENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wasm.h>
#include <wasmtime.h>

/* Stands for "no time" where a time is expected. */
#define CATENA_NO_TIME UINT64_MAX

/* A compiled component. Threads may share it. */
typedef struct catena_component catena_component;

/* The correlation of one stream, with its state, in a sandbox of its own. One thread at a time may use it. */
typedef struct catena_correlator catena_correlator;

/* A text that is not ended by a zero; it belongs to what it came with. */
typedef struct {
  const char *data;
  size_t size;
} catena_text;

/* Bytes START to END (exclusive) of the batch are replaced by the text. */
typedef struct {
  uint32_t start, end;
  catena_text text;
} catena_edit;

/* A match of a rule. The contract (wit/catena.wit) describes the members. */
typedef struct {
  catena_text id, rule, body, extra;
  uint8_t severity_id;
  uint64_t first_seen_ms, last_seen_ms;
  uint32_t start, end;
} catena_finding;

/* An unreadable record, or, without detail, one that was not recognised. */
typedef struct {
  uint32_t start, end;
  catena_text code, detail;
} catena_place;

/* The result of processing a batch. Free it with catena_outcome_free. */
typedef struct {
  uint32_t records, matched, dropped;
  catena_text extra;
  size_t edit_count, finding_count, rejection_count, unrecognised_count;
  catena_edit *edits;
  catena_finding *findings;
  catena_place *rejections, *unrecognised;
  /* What the texts belong to. */
  wasmtime_component_val_t answer;
} catena_outcome;

/* Bytes START to END (exclusive) of the batch are for the correlators of these partitions. */
typedef struct {
  uint32_t start, end, records;
  uint32_t *partitions;
  size_t partition_count;
} catena_route;

typedef enum {
  CATENA_OK,
  /* The call was refused: nothing was consumed, and the correlator remains usable. */
  CATENA_FAULT,
  /* The component failed. Its correlator refuses all further calls; free it and resume from a checkpoint. */
  CATENA_TRAP,
} catena_status;

/* Why a call was not CATENA_OK. Free it with catena_error_free. */
typedef struct {
  char *kind;    /* of a fault, such as "invalid-config"; NULL for a trap */
  char *path;    /* of a fault: the place of the problem */
  char *message; /* in words */
} catena_error;

/* Compiles a component; NULL, with the reason in *error, if it cannot be. Takes about a second: keep it. */
catena_component *catena_component_new(const uint8_t *bytes, size_t size, catena_error *error);
void catena_component_free(catena_component *);

/* Opens a correlator with the configuration in JSON; with `checkpoint` (base64, ended by a zero) if it is not NULL. Calls may take
   `call_ms` each and memory up to `memory_bytes`. */
catena_status catena_open(catena_component *, const char *config, const char *checkpoint, uint32_t call_ms,
                          uint64_t memory_bytes, catena_correlator **opened, catena_error *error);
void catena_free(catena_correlator *);

/* Processes a whole batch, or none of it. A batch that is not UTF-8 takes 33 bytes of memory for each of its bytes, others two. */
catena_status catena_process(catena_correlator *, const char *batch, size_t size, uint64_t now_ms, catena_outcome *outcome,
                             catena_error *error);
void catena_outcome_free(catena_outcome *);

/* The length in bytes of the longest batch. */
uint32_t catena_batch_limit(const catena_correlator *);

/* Splits a batch into runs. Free them with catena_routes_free. */
catena_status catena_route_batch(catena_correlator *, const char *batch, size_t size, uint32_t partitions,
                                 catena_route **routes, size_t *count, catena_error *error);
void catena_routes_free(catena_route *, size_t count);

/* A checkpoint in base64, ended by a zero, to be freed by free. */
catena_status catena_checkpoint(catena_correlator *, char **base64, catena_error *error);

/* The metrics as they come: a list of records with `name`, `kind`, `labels`, `value`. Delete it with wasmtime_component_val_delete. */
catena_status catena_metrics(catena_correlator *, wasmtime_component_val_t *metrics, catena_error *error);

/* Joins what the correlators of several partitions insert into one record; to be freed by free. */
catena_status catena_join_annotations(catena_correlator *, const char *const *texts, size_t count, char **joined,
                                      catena_error *error);

/* What the component says of itself, as JSON, to be freed by free. */
catena_status catena_describe(catena_component *, char **description, catena_error *error);

/* Whether bytes are UTF-8. */
bool catena_is_utf8(const char *bytes, size_t size);

void catena_error_free(catena_error *);

#endif
