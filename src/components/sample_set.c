#include "components/sample_set.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/rng.h"
#include "components/operators.h"

enum { STATE_VERSION = 1, STATE_BYTES = 36 };

typedef struct sample_set {
  bbw_value *x;
  bbw_value *labels; /* NULL: there are none */
  size_t rows;
  size_t batch_rows; /* at least 1 */
  uint32_t *order;   /* rows entries, the order of this epoch; NULL: as they are */
  uint64_t seed;     /* 0 without an order */
  uint64_t epoch;
  size_t given; /* rows given in this epoch */
} sample_set;

static size_t row_elements(const sample_set *s, const bbw_value *v) {
  return s->rows == 0 ? 0 : v->as.tensor.count / s->rows;
}

/* The order of an epoch: Fisher and Yates, from seed and epoch alone, so that it need not be saved. */
static void make_order(sample_set *s) {
  if (s->order == NULL) { return; }
  bbw_rng rng;
  bbw_rng_init(&rng, s->seed + s->epoch * 0x9e3779b97f4a7c15u);
  for (size_t i = 0; i < s->rows; i++) {
    size_t j = (size_t)bbw_rng_below(&rng, i + 1);
    s->order[i] = s->order[j];
    s->order[j] = (uint32_t)i;
  }
}

static bbw_status fail_config(bbw_error *err, const char *detail) {
  bbw_error_set(err, BBW_E_INST_CONFIG_TYPE);
  bbw_error_add_str(err, "detail", (bbw_str){detail, strlen(detail)});
  return BBW_E_INST_CONFIG_TYPE;
}

static bool read_number(const bbw_value *list, size_t index, uint64_t *out) {
  if (index >= list->as.list.count) { return true; }
  const bbw_value *v = list->as.list.items[index];
  if (v->type != BBW_TYPE_U64 && v->type != BBW_TYPE_RAW_U64) { return false; }
  *out = v->as.u64;
  return true;
}

static void destroy(void *self, const bbw_mem *mem) {
  sample_set *s = self;
  if (s == NULL) { return; }
  bbw_value_release(s->x, mem);
  bbw_value_release(s->labels, mem);
  bbw_mem_array_free(mem, s->order, s->rows, sizeof *s->order);
  bbw_mem_array_free(mem, s, 1, sizeof *s);
}

/* Takes the parts of a decoded configuration; *s is zeroed, and is destroyed by the caller on an error. */
static bbw_status read_config(sample_set *s, const bbw_value *config, const bbw_mem *mem, bbw_error *err) {
  bool is_list = config->type == BBW_TYPE_COMPOSITE && config->as.list.count >= 2 && config->as.list.count <= 4;
  if (!is_list) { return fail_config(err, "expected a composite of samples, labels, batch size and seed"); }
  bbw_value *x = config->as.list.items[0], *labels = config->as.list.items[1];
  if (!bbw_value_is_tensor(x) || x->as.tensor.rank == 0) {
    return fail_config(err, "value 0 must be a tensor with a dimension of samples");
  }
  uint64_t rows = x->as.tensor.dims[0], batch_rows = 0, seed = 0;
  if (!bbw_value_is_tensor(labels)) { return fail_config(err, "value 1 must be a tensor"); }
  bool has_labels = labels->as.tensor.count > 0 || rows == 0;
  if (has_labels && (labels->as.tensor.rank == 0 || labels->as.tensor.dims[0] != rows)) {
    return fail_config(err, "there must be one label for each sample");
  }
  bool is_numbered = read_number(config, 2, &batch_rows) && read_number(config, 3, &seed);
  if (!is_numbered) { return fail_config(err, "batch size and seed must be U64"); }
  if (rows > UINT32_MAX) { return fail_config(err, "more than 2^32 - 1 samples"); }
  bool is_shuffled = config->as.list.count == 4;
  s->x = bbw_value_retain(x);
  s->labels = has_labels ? bbw_value_retain(labels) : NULL;
  if (is_shuffled && rows > 0) {
    s->order = bbw_mem_array(mem, (size_t)rows, sizeof *s->order);
    if (s->order == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  }
  s->rows = (size_t)rows;
  s->batch_rows = batch_rows == 0 || batch_rows > rows ? (rows == 0 ? 1 : (size_t)rows) : (size_t)batch_rows;
  s->seed = seed;
  make_order(s);
  return BBW_OK;
}

static bbw_status construct(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                            const bbw_mem *mem, bbw_error *err) {
  (void)type;
  if (!has_config) { return bbw_error_set(err, BBW_E_INST_MISSING_CONFIG); }
  bbw_value *value;
  bbw_status rv = bbw_value_decode(&value, bbw_type_hash(BBW_TYPE_COMPOSITE), config, mem, err);
  if (rv == BBW_E_NOMEM) { return bbw_error_set(err, rv); }
  if (rv != BBW_OK) { return fail_config(err, "expected a composite of samples, labels, batch size and seed"); }
  sample_set *s = bbw_mem_array(mem, 1, sizeof *s);
  if (s == NULL) {
    rv = bbw_error_set(err, BBW_E_NOMEM);
  } else {
    *s = (sample_set){.x = NULL};
    rv = read_config(s, value, mem, err);
  }
  bbw_value_release(value, mem);
  if (rv != BBW_OK) {
    destroy(s, mem);
    return rv;
  }
  *self = s;
  return BBW_OK;
}

/* The next `rows` rows of a tensor, in the order of the epoch. */
static bbw_status copy_rows(const sample_set *s, const bbw_value *from, size_t rows, bbw_value **out,
                            const bbw_mem *mem) {
  uint64_t dims[BBW_TENSOR_RANK_MAX];
  const bbw_tensor *t = &from->as.tensor;
  assert(t->rank >= 1);
  assert(t->rank <= BBW_TENSOR_RANK_MAX);
  memcpy(dims, t->dims, t->rank * sizeof *dims);
  dims[0] = rows;
  float *data;
  bbw_status rv = bbw_value_new_tensor(out, &data, BBW_TYPE_CPU_TENSOR, dims, t->rank, mem);
  if (rv != BBW_OK) { return rv; }
  size_t elements = row_elements(s, from);
  for (size_t i = 0; i < rows && elements > 0; i++) {
    size_t row = s->order == NULL ? s->given + i : s->order[s->given + i];
    memcpy(data + i * elements, t->data + row * elements, elements * sizeof *data);
  }
  return BBW_OK;
}

static bbw_status next_batch(void *self, bbw_ctx *ctx) {
  sample_set *s = self;
  const bbw_mem *mem = bbw_ctx_mem(ctx);
  size_t left = s->rows - s->given, rows = left < s->batch_rows ? left : s->batch_rows;
  bbw_value *x, *labels;
  float *none;
  bbw_status rv = copy_rows(s, s->x, rows, &x, mem);
  if (rv != BBW_OK) { return rv; }
  rv = s->labels != NULL ? copy_rows(s, s->labels, rows, &labels, mem)
                         : bbw_value_new_tensor(&labels, &none, BBW_TYPE_CPU_TENSOR, (uint64_t[]){0}, 1, mem);
  if (rv != BBW_OK) {
    bbw_value_release(x, mem);
    return rv;
  }
  s->given += rows;
  bbw_ctx_set_output(ctx, 0, x);
  bbw_ctx_set_output(ctx, 1, labels);
  return BBW_OK;
}

static bbw_status reset(void *self, bbw_ctx *ctx) {
  sample_set *s = self;
  (void)ctx;
  s->epoch++;
  s->given = 0;
  make_order(s);
  return BBW_OK;
}

static bbw_status on_data_loaded(void *self, bbw_ctx *ctx) {
  (void)self;
  (void)ctx;
  return BBW_OK;
}

static const bbw_operator operators[] = {{"NextBatch", BBW_ROLE_DATA_SOURCE, false, next_batch},
                                         {"Reset", BBW_ROLE_DATA_SOURCE, false, reset},
                                         {"OnDataLoaded", BBW_ROLE_DATA_SOURCE, false, on_data_loaded}};
enum { OPERATOR_COUNT = sizeof operators / sizeof operators[0] };

static bool supports(const void *self, bbw_role role, bbw_str op_type) {
  (void)self;
  return bbw_operators_have(operators, OPERATOR_COUNT, role, op_type);
}

static bbw_status dispatch(void *self, bbw_ctx *ctx) { return bbw_operators_run(operators, OPERATOR_COUNT, self, ctx); }

static bbw_status save(const void *self, const bbw_mem *mem, uint8_t **out, size_t *len) {
  const sample_set *s = self;
  uint8_t *state = mem->alloc(mem->ctx, STATE_BYTES);
  if (state == NULL) { return BBW_E_NOMEM; }
  bbw_store_u32le(state, STATE_VERSION);
  bbw_store_u64le(state + 4, s->rows);
  bbw_store_u64le(state + 12, s->seed);
  bbw_store_u64le(state + 20, s->epoch);
  bbw_store_u64le(state + 28, s->given);
  *out = state;
  *len = STATE_BYTES;
  return BBW_OK;
}

static bbw_status restore(void *self, bbw_bytes state, const bbw_mem *mem, bbw_error *err) {
  (void)mem;
  sample_set *s = self;
  bool is_mine = state.len == STATE_BYTES && bbw_load_u32le(state.ptr) == STATE_VERSION &&
                 bbw_load_u64le(state.ptr + 4) == s->rows && bbw_load_u64le(state.ptr + 12) == s->seed &&
                 bbw_load_u64le(state.ptr + 28) <= s->rows;
  if (!is_mine) { return bbw_error_set(err, BBW_E_RESTORE_COMPONENT); }
  s->epoch = bbw_load_u64le(state.ptr + 20);
  s->given = (size_t)bbw_load_u64le(state.ptr + 28);
  make_order(s);
  return BBW_OK;
}

const bbw_component_type bbw_sample_set_type = {
    .type_name = "SampleSet",
    .role_bits = BBW_ROLE_BIT(BBW_ROLE_DATA_SOURCE),
    .is_framework = true,
    .construct = construct,
    .destroy = destroy,
    .dispatch = dispatch,
    .supports = supports,
    .save = save,
    .restore = restore,
};
