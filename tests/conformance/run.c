/*
 * Runs cases in the layout of the ONNX backend tests: DIR/test_NAME/model.onnx and test_data_set_N/{input,output}_I.pb.
 *
 * usage: run DIR [only]      only: cases whose name contains this
 * A case is claimed when the model loads: then it has to give the expected outputs within the tolerance of the ONNX test runner (rtol 1e-3, atol
 * 1e-7; whole numbers and truth values exactly), twice with the same bits, and again without folding, fusing and packing.  A case whose model names an operator that ops.def does not
 * list is skipped by name, with what is missing.  Ends with "passed / claimed / all" and exit status 1 if a claimed case fails.
 */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "bbw/session.h"
#include "onnx/convert.h"
#include "onnx/tensor.h"

#define ARRAYS_MAX 32u
#define RTOL       1e-3
#define ATOL       1e-7
#define RTOL_BF16 \
  0.0078125 /* one unit in the last place: the files of ONNX 1.12 were cut to bfloat16, which rounds since opset 19 */

static bbw_bytes read_file(const char *dir, const char *name) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *file = fopen(path, "rb");
  if (file == NULL) { return (bbw_bytes){0}; }
  fseek(file, 0, SEEK_END);
  long size = ftell(file);
  rewind(file);
  uint8_t *bytes = malloc(size > 0 ? (size_t)size : 1);
  if (bytes == NULL || fread(bytes, 1, (size_t)size, file) != (size_t)size) { exit(2); }
  fclose(file);
  return (bbw_bytes){bytes, (size_t)size};
}

/* NAME_I.pb as an array; 0: there is no such file, -1: it is no tensor that we know. */
static int read_array(const char *dir, const char *name, unsigned i, bbw_array *out, bbw_arena *arena) {
  char file[64];
  snprintf(file, sizeof file, "%s_%u.pb", name, i);
  bbw_bytes bytes = read_file(dir, file);
  if (bytes.ptr == NULL) { return 0; }
  bbw_onnx_tensor *tensor = bbw_arena_array(arena, 1, sizeof *tensor);
  const char *detail;
  size_t size;
  uint8_t *kept = bbw_arena_array(arena, bytes.len + 1, 1);
  if (bytes.len > 0) { memcpy(kept, bytes.ptr, bytes.len); }
  free((void *)(uintptr_t)bytes.ptr);
  if (bbw_proto_decode(tensor, &bbw_onnx_tensor_type_table, (bbw_bytes){kept, bytes.len}, arena, NULL) != BBW_OK) {
    return -1;
  }
  if (bbw_tensor_shape(out, &size, tensor, NULL, &detail) != BBW_OK) { return -1; }
  out->data = bbw_arena_array(arena, size, 1);
  bbw_tensor_read(out, tensor, NULL, &detail);
  return 1;
}

static void say_error(const char *name, const char *what, const bbw_error *err) {
  bbw_str status = bbw_status_name((bbw_status)err->status);
  bbw_str node = bbw_error_field(err, "node"), op = bbw_error_field(err, "op_type"),
          value = bbw_error_field(err, "value"), detail = bbw_error_field(err, "detail");
  printf("FAIL  %s: %s: %.*s node '%.*s' op %.*s value '%.*s': %.*s\n", name, what, (int)status.len, status.ptr,
         (int)node.len, node.ptr, (int)op.len, op.ptr, (int)value.len, value.ptr, (int)detail.len, detail.ptr);
}

static bool is_equal(const char *name, unsigned index, const bbw_array *got, const bbw_array *want) {
  if (got->dtype != want->dtype || !bbw_array_same_shape(got, want)) {
    printf("FAIL  %s: output %u: %.*s[", name, index, (int)bbw_dtype_name(got->dtype).len,
           bbw_dtype_name(got->dtype).ptr);
    for (uint32_t d = 0; d < got->rank; d++) { printf(" %zu", got->dims[d]); }
    printf(" ], expected %.*s[", (int)bbw_dtype_name(want->dtype).len, bbw_dtype_name(want->dtype).ptr);
    for (uint32_t d = 0; d < want->rank; d++) { printf(" %zu", want->dims[d]); }
    printf(" ]\n");
    return false;
  }
  for (size_t i = 0; i < want->count; i++) {
    if (bbw_dtype_is_float(want->dtype)) {
      double a, b;
      bbw_load_f64(got, i, 1, &a);
      bbw_load_f64(want, i, 1, &b);
      double relative = want->dtype == BBW_DTYPE_BF16 ? RTOL_BF16 : RTOL;
      if ((isnan(a) && isnan(b)) || a == b || fabs(a - b) <= ATOL + relative * fabs(b)) { continue; }
      printf("FAIL  %s: output %u element %zu: %.9g, expected %.9g\n", name, index, i, a, b);
      return false;
    }
    int64_t a, b;
    bbw_load_i64(got, i, 1, &a);
    bbw_load_i64(want, i, 1, &b);
    if (a == b) { continue; }
    printf("FAIL  %s: output %u element %zu: %lld, expected %lld\n", name, index, i, (long long)a, (long long)b);
    return false;
  }
  return true;
}

/* NumPy has no bfloat16: the files hold the bits as uint16 where the model says bfloat16. */
static void read_as_declared(bbw_array *array, bbw_port_info port) {
  if (port.dtype == BBW_DTYPE_BF16 && array->dtype == BBW_DTYPE_U16) { array->dtype = BBW_DTYPE_BF16; }
}

static bool has_declared_shape(const bbw_array *array, bbw_port_info port) {
  if (!port.has_shape) { return true; }
  bool fits = array->rank == port.rank;
  for (uint32_t d = 0; fits && d < port.rank; d++) {
    fits = port.dims[d] < 0 || (size_t)port.dims[d] == array->dims[d];
  }
  return fits;
}

typedef enum outcome { PASSED, FAILED, SKIPPED } outcome;

/* Runs one set of data; FAILED when the outputs are wrong, SKIPPED when the files themselves contradict the model. */
static outcome run_set(const char *name, bbw_session *session, const char *dir) {
  bbw_arena arena;
  bbw_error err;
  bbw_arena_init(&arena, &bbw_mem_libc);
  bbw_array inputs[ARRAYS_MAX] = {{0}}, want[ARRAYS_MAX] = {{0}}, got[ARRAYS_MAX] = {{0}};
  size_t input_count = bbw_session_input_count(session), output_count = bbw_session_output_count(session);
  bool ok = input_count <= ARRAYS_MAX && output_count <= ARRAYS_MAX;
  if (!ok) { printf("FAIL  %s: too many arrays for this program\n", name); }
  for (unsigned i = 0; i < input_count && ok; i++) {
    int found = read_array(dir, "input", i, &inputs[i], &arena);
    if (found != 1) {
      printf("FAIL  %s: input %u is %s\n", name, i, found == 0 ? "missing" : "no tensor");
      ok = false;
    }
    read_as_declared(&inputs[i], bbw_session_input(session, i));
    if (ok && !has_declared_shape(&inputs[i], bbw_session_input(session, i))) {
      printf("skip  %s: the file of input %u has not the shape that the model declares\n", name, i);
      bbw_arena_free(&arena);
      return SKIPPED;
    }
  }
  for (unsigned i = 0; i < output_count && ok; i++) {
    if (read_array(dir, "output", i, &want[i], &arena) != 1) {
      printf("FAIL  %s: expected output %u is no tensor\n", name, i);
      ok = false;
    }
    read_as_declared(&want[i], bbw_session_output(session, i));
  }
  void *first[ARRAYS_MAX] = {NULL};
  for (unsigned round = 0; round < 2 && ok; round++) {
    if (bbw_session_run(session, inputs, input_count, got, &err) != BBW_OK) {
      say_error(name, "run", &err);
      ok = false;
      break;
    }
    for (unsigned i = 0; i < output_count && ok; i++) {
      size_t bytes = bbw_array_bytes(&got[i]);
      ok = is_equal(name, i, &got[i], &want[i]);
      if (ok && round == 0 && bytes > 0) { memcpy(first[i] = bbw_arena_array(&arena, bytes, 1), got[i].data, bytes); }
      if (ok && round == 1 && bytes > 0 && memcmp(first[i], got[i].data, bytes) != 0) {
        printf("FAIL  %s: output %u differs when the same inputs run again\n", name, i);
        ok = false;
      }
    }
  }
  bbw_arena_free(&arena);
  return ok ? PASSED : FAILED;
}

/* The reason why the files of a case are wrong, from wrong-files.txt beside this source; NULL for all others. */
static const char *why_wrong(const char *name) {
  static char text[4096];
  if (text[0] == '\0') {
    FILE *file = fopen("tests/conformance/wrong-files.txt", "rb");
    size_t n = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    if (n == 0) {
      fprintf(stderr, "tests/conformance/wrong-files.txt is missing: run this in the folder of the project\n");
      exit(2);
    }
    fclose(file);
    for (char *c = text; *c != '\0'; c++) {
      *c = *c == '\n' ? '\0' : *c;
    } /* lines end in zeros; the text ends in two */
  }
  size_t len = strlen(name);
  for (const char *line = text; *line != '\0'; line += strlen(line) + 1) {
    if (strncmp(line, name, len) == 0 && line[len] == ' ') { return line + len + 1; }
  }
  return NULL;
}

static outcome run_case(const char *dir, const char *name) {
  char path[1024];
  const char *wrong = why_wrong(name);
  if (wrong != NULL) {
    printf("skip  %s: %s\n", name, wrong);
    return SKIPPED;
  }
  snprintf(path, sizeof path, "%s/%s", dir, name);
  bbw_bytes model = read_file(path, "model.onnx");
  if (model.ptr == NULL) {
    printf("skip  %s: has no model.onnx\n", name);
    return SKIPPED;
  }
  outcome result = PASSED;
  for (unsigned plain = 0; plain < 2 && result == PASSED; plain++) {
    bbw_session *session;
    bbw_error err;
    bbw_session_options options = {.is_plain = plain == 1};
    bbw_status rv = bbw_session_new(&session, model, &options, &bbw_mem_libc, &err);
    if (rv == BBW_E_ONNX_UNSUPPORTED) {
      bbw_str item = bbw_error_item(&err, "nodes", 0), value = bbw_error_field(&err, "value"),
              detail = bbw_error_field(&err, "detail");
      printf("skip  %s: not claimed: %.*s%.*s %.*s\n", name, (int)item.len, item.ptr, (int)value.len, value.ptr,
             (int)detail.len, detail.ptr);
      result = SKIPPED;
      break;
    }
    if (rv != BBW_OK) {
      say_error(name, "load", &err);
      result = FAILED;
      break;
    }
    for (unsigned set = 0;; set++) {
      char data[1088];
      snprintf(data, sizeof data, "%s/test_data_set_%u", path, set);
      DIR *there = opendir(data);
      if (there == NULL) { break; }
      closedir(there);
      outcome one = run_set(name, session, data);
      if (one != PASSED && result != FAILED) { result = one; }
    }
    bbw_session_del(session);
  }
  free((void *)(uintptr_t)model.ptr);
  return result;
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: %s DIR [only]\n", argv[0]);
    return 2;
  }
  struct dirent **cases;
  int count = scandir(argv[1], &cases, NULL, by_name);
  if (count < 0) {
    fprintf(stderr, "%s: no such folder\n", argv[1]);
    return 2;
  }
  unsigned outcomes[3] = {0}, all = 0;
  for (int i = 0; i < count; i++) {
    const char *name = cases[i]->d_name;
    if (name[0] != '.' && (argc < 3 || strstr(name, argv[2]) != NULL)) {
      all++;
      outcomes[run_case(argv[1], name)]++;
      fflush(stdout);
    }
    free(cases[i]);
  }
  free(cases);
  printf("conformance: %u passed / %u claimed / %u all\n", outcomes[PASSED], outcomes[PASSED] + outcomes[FAILED], all);
  return outcomes[FAILED] == 0 ? 0 : 1;
}
