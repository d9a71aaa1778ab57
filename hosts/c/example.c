/* Filters standard input: example COMPONENT < records > output. Findings go to standard error. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "catena.h"

static int failed(const char *what, catena_error *error) {
  fprintf(stderr, "example: %s%s%s%s\n", what, error->path && *error->path ? error->path : "", error->path ? ": " : "",
          error->message);
  catena_error_free(error);
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 2) return fputs("usage: example COMPONENT < records > output\n", stderr), 2;
  FILE *file = fopen(argv[1], "rb");
  if (file == NULL) return perror(argv[1]), 2;
  static uint8_t bytes[4 << 20];
  size_t length = fread(bytes, 1, sizeof bytes, file);
  fclose(file);

  catena_error error = {0};
  catena_component *component = catena_component_new(bytes, length, &error);
  if (component == NULL) return failed("", &error);
  catena_correlator *correlator;
  if (catena_open(component, "{\"mode\":\"filter\"}", NULL, 10000, 1u << 30, &correlator, &error) != CATENA_OK)
    return failed("", &error);

  /* Some lines make a batch. */
  char *batch = NULL, *line = NULL;
  size_t size = 0, room = 0, line_room = 0;
  for (ssize_t read = 0; read >= 0;) {
    read = getline(&line, &line_room, stdin);
    if (read > 0) {
      if (size + (size_t)read > room) batch = realloc(batch, room = 2 * (size + (size_t)read));
      if (batch == NULL) return fputs("example: out of memory\n", stderr), 1;
      memcpy(batch + size, line, (size_t)read);
      size += (size_t)read;
    }
    if (size == 0 || (read >= 0 && size < 1 << 20)) continue;

    catena_outcome outcome;
    uint64_t now_ms = (uint64_t)time(NULL) * 1000;
    if (catena_process(correlator, batch, size, now_ms, &outcome, &error) != CATENA_OK) return failed("", &error);
    size_t at = 0;
    for (size_t edit = 0; edit < outcome.edit_count; edit++) {
      fwrite(batch + at, 1, outcome.edits[edit].start - at, stdout);
      fwrite(outcome.edits[edit].text.data, 1, outcome.edits[edit].text.size, stdout);
      at = outcome.edits[edit].end;
    }
    fwrite(batch + at, 1, size - at, stdout);
    for (size_t finding = 0; finding < outcome.finding_count; finding++)
      fprintf(stderr, "%.*s\n", (int)outcome.findings[finding].body.size, outcome.findings[finding].body.data);
    catena_outcome_free(&outcome);
    size = 0;
  }
  free(batch);
  free(line);
  catena_free(correlator);
  catena_component_free(component);
  return fflush(stdout) == 0 ? 0 : 1;
}
