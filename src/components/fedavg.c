#include "components/fedavg.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "components/operators.h"
#include "kernels/elementwise.h"

typedef struct contribution {
  bbw_peer_id peer;
  bbw_value *tensor;
  uint64_t samples;
} contribution;

static contribution *at(const bbw_fedavg *f, size_t index) {
  return BBW_VEC_AT(&f->contributions, contribution, index);
}

void bbw_fedavg_init(bbw_fedavg *f, const bbw_mem *mem) {
  *f = (bbw_fedavg){.mem = mem};
  bbw_vec_init(&f->contributions, sizeof(contribution), mem);
}

static void clear(bbw_fedavg *f) {
  for (size_t i = 0; i < f->contributions.count; i++) { bbw_value_release(at(f, i)->tensor, f->mem); }
  f->contributions.count = 0;
  f->total = 0;
}

void bbw_fedavg_free(bbw_fedavg *f) {
  clear(f);
  bbw_vec_free(&f->contributions);
}

/* First place whose peer is not below; *found says whether it is this peer. */
static size_t find(const bbw_fedavg *f, const bbw_peer_id *peer, bool *found) {
  size_t low = 0, high = f->contributions.count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (bbw_peer_id_compare(&at(f, middle)->peer, peer) < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  *found = low < f->contributions.count && bbw_peer_id_compare(&at(f, low)->peer, peer) == 0;
  return low;
}

static bool same_shape(const bbw_tensor *a, const bbw_tensor *b) {
  return a->rank == b->rank && (a->rank == 0 || memcmp(a->dims, b->dims, a->rank * sizeof a->dims[0]) == 0);
}

bbw_status bbw_fedavg_contribute(bbw_fedavg *f, const bbw_peer_id *peer, bbw_value *tensor, uint64_t samples,
                                 const char **detail) {
  bool found;
  size_t place = find(f, peer, &found), count = f->contributions.count;
  uint64_t others = f->total - (found ? at(f, place)->samples : 0);
  if (samples == 0) {
    *detail = "num_samples = 0: a contribution without weight";
    return BBW_E_EMPTY;
  }
  if (samples > UINT64_MAX - others) {
    *detail = "the sum of num_samples does not fit in 64 bits";
    return BBW_E_LIMIT;
  }
  /* Whoever replaces the only contribution may change the shape. */
  if (count > (found ? 1u : 0u)) {
    size_t other = found && place == 0 ? 1 : 0;
    if (!same_shape(&at(f, other)->tensor->as.tensor, &tensor->as.tensor)) {
      *detail = "the tensor has another shape than the contributions of this round";
      return BBW_E_SHAPE;
    }
  }
  if (found) {
    bbw_value_retain(tensor);
    bbw_value_release(at(f, place)->tensor, f->mem);
  } else {
    if (count >= BBW_FEDAVG_PEERS_MAX) {
      *detail = "too many peers in one round";
      return BBW_E_LIMIT;
    }
    if (bbw_vec_push(&f->contributions) == NULL) { return BBW_E_NOMEM; }
    memmove(at(f, place) + 1, at(f, place), (count - place) * sizeof(contribution));
    bbw_value_retain(tensor);
  }
  *at(f, place) = (contribution){.peer = *peer, .tensor = tensor, .samples = samples};
  f->total = others + samples;
  return BBW_OK;
}

bbw_status bbw_fedavg_aggregate(bbw_fedavg *f, bbw_value **out, uint64_t *samples) {
  if (f->contributions.count == 0) { return BBW_E_EMPTY; }
  const bbw_tensor *first = &at(f, 0)->tensor->as.tensor;
  bbw_value *result;
  float *sum;
  bbw_status rv = bbw_value_new_tensor(&result, &sum, BBW_TYPE_CPU_TENSOR, first->dims, first->rank, f->mem);
  if (rv != BBW_OK) { return rv; }
  for (size_t i = 0; i < f->contributions.count; i++) {
    float weight = (float)at(f, i)->samples / (float)f->total;
    const float *x = at(f, i)->tensor->as.tensor.data;
    if (i == 0) {
      bbw_scale_f32_simd128(weight, x, sum, first->count);
    } else {
      bbw_axpy_f32_simd128(weight, x, sum, sum, first->count);
    }
  }
  *out = result;
  *samples = f->total;
  clear(f);
  return BBW_OK;
}

/* ---- the component ---- */

static bbw_status construct(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                            const bbw_mem *mem, bbw_error *err) {
  (void)type;
  (void)has_config;
  (void)config; /* there is nothing to choose */
  bbw_fedavg *f = mem->alloc(mem->ctx, sizeof *f);
  if (f == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  bbw_fedavg_init(f, mem);
  *self = f;
  return BBW_OK;
}

static void destroy(void *self, const bbw_mem *mem) {
  if (self == NULL) { return; }
  bbw_fedavg_free(self);
  mem->free(mem->ctx, self, sizeof(bbw_fedavg));
}

/* Numbers in front of the peer id and the payload of one contribution. */
#define SAVED_HEAD_BYTES 28u

static bbw_status save(const void *self, const bbw_mem *mem, uint8_t **out, size_t *len) {
  const bbw_fedavg *f = self;
  size_t bytes = 8;
  uint8_t peer[BBW_PEER_ID_BYTES_MAX];
  for (size_t i = 0; i < f->contributions.count; i++) {
    size_t payload = bbw_value_payload_size(at(f, i)->tensor);
    size_t peer_len = bbw_peer_id_encode(&at(f, i)->peer, peer);
    if (!bbw_size_add(bytes, SAVED_HEAD_BYTES + peer_len, &bytes) || !bbw_size_add(bytes, payload, &bytes)) {
      return BBW_E_NOMEM;
    }
  }
  uint8_t *state = mem->alloc(mem->ctx, bytes);
  if (state == NULL) { return BBW_E_NOMEM; }
  bbw_store_u64le(state, f->contributions.count);
  uint8_t *to = state + 8;
  for (size_t i = 0; i < f->contributions.count; i++) {
    const contribution *c = at(f, i);
    size_t peer_len = bbw_peer_id_encode(&c->peer, peer), payload = bbw_value_payload_size(c->tensor);
    bbw_store_u64le(to, c->samples);
    bbw_store_u64le(to + 8, bbw_type_hash((bbw_type)c->tensor->type));
    bbw_store_u32le(to + 16, (uint32_t)peer_len);
    bbw_store_u64le(to + 20, payload);
    memcpy(to + SAVED_HEAD_BYTES, peer, peer_len);
    bbw_value_payload_write(c->tensor, to + SAVED_HEAD_BYTES + peer_len);
    to += SAVED_HEAD_BYTES + peer_len + payload;
  }
  *out = state;
  *len = bytes;
  return BBW_OK;
}

/* One saved contribution from the front of *state, which moves on. */
static bbw_status restore_one(bbw_fedavg *f, bbw_bytes *state) {
  if (state->len < SAVED_HEAD_BYTES) { return BBW_E_TRUNCATED; }
  const uint8_t *head = state->ptr;
  uint64_t peer_len = bbw_load_u32le(head + 16), payload_len = bbw_load_u64le(head + 20);
  size_t left = state->len - SAVED_HEAD_BYTES;
  if (peer_len > left || payload_len > left - peer_len) { return BBW_E_TRUNCATED; }
  bbw_peer_id peer;
  bbw_value *tensor;
  bbw_bytes peer_bytes = {head + SAVED_HEAD_BYTES, (size_t)peer_len};
  bbw_bytes payload = {peer_bytes.ptr + peer_bytes.len, (size_t)payload_len};
  bbw_status rv = bbw_peer_id_decode(&peer, peer_bytes, NULL);
  if (rv == BBW_OK) { rv = bbw_value_decode(&tensor, bbw_load_u64le(head + 8), payload, f->mem, NULL); }
  if (rv != BBW_OK) { return rv; }
  const char *detail;
  bool is_whole = bbw_value_is_tensor(tensor) && bbw_value_payload_size(tensor) == payload.len;
  rv = is_whole ? bbw_fedavg_contribute(f, &peer, tensor, bbw_load_u64le(head), &detail) : BBW_E_DECODE;
  bbw_value_release(tensor, f->mem);
  *state = (bbw_bytes){payload.ptr + payload.len, left - peer_bytes.len - payload.len};
  return rv;
}

static bbw_status restore(void *self, bbw_bytes state, const bbw_mem *mem, bbw_error *err) {
  bbw_fedavg *f = self, next;
  if (state.len < 8) { return bbw_error_set(err, BBW_E_RESTORE_COMPONENT); }
  uint64_t count = bbw_load_u64le(state.ptr);
  state = (bbw_bytes){state.ptr + 8, state.len - 8};
  bbw_fedavg_init(&next, mem);
  bbw_status rv = BBW_OK;
  while (rv == BBW_OK && state.len != 0) { rv = restore_one(&next, &state); }
  if (rv == BBW_OK && next.contributions.count != count) { rv = BBW_E_DECODE; } /* too few, or a peer twice */
  if (rv != BBW_OK) {
    bbw_fedavg_free(&next);
    return bbw_error_set(err, rv == BBW_E_NOMEM ? rv : BBW_E_RESTORE_COMPONENT);
  }
  bbw_fedavg_free(f);
  *f = next;
  return BBW_OK;
}

static bool read_samples(const bbw_value *value, uint64_t *samples) {
  if (value == NULL) { return false; }
  switch ((bbw_type)value->type) {
  case BBW_TYPE_FEDAVG_META:
  case BBW_TYPE_U64:
  case BBW_TYPE_RAW_U64: *samples = value->as.u64; return true;
  case BBW_TYPE_BYTES:
  case BBW_TYPE_BYTE_SLICE:
    if (value->as.bytes.len != 8) { return false; }
    *samples = bbw_load_u64le(value->as.bytes.ptr);
    return true;
  default: return false;
  }
}

static bbw_status contribute(void *self, bbw_ctx *ctx) {
  bbw_fedavg *f = self;
  bbw_value *element = bbw_ctx_input(ctx, 0);
  const bbw_value *metadata = bbw_ctx_input(ctx, 1);
  if (element != NULL && element->type == BBW_TYPE_COMPOSITE && element->as.list.count == 2) {
    metadata = element->as.list.items[1];
    element = element->as.list.items[0];
    if (!bbw_value_is_tensor(element)) { return bbw_ctx_fail_input(ctx, 0, "CpuTensor"); }
  } else {
    if (bbw_ctx_input_tensor(ctx, 0) == NULL) { return bbw_ctx_fail_input(ctx, 0, "CpuTensor"); }
    element = bbw_ctx_input(ctx, 0); /* bytes have become a tensor */
  }
  uint64_t samples;
  if (!read_samples(metadata, &samples)) { return bbw_ctx_fail_input(ctx, 1, "FedAvgMeta"); }
  const bbw_peer_id *peer = bbw_ctx_src_peer(ctx);
  if (peer == NULL) {
    return bbw_ctx_fail(ctx, BBW_OP_OTHER, "", BBW_STR("envelope_src_peer is None: nobody sent this"));
  }
  const char *detail = "";
  bbw_status rv = bbw_fedavg_contribute(f, peer, element, samples, &detail);
  if (rv == BBW_OK || rv == BBW_E_NOMEM) { return rv; }
  bool is_shape = rv == BBW_E_SHAPE;
  return bbw_ctx_fail(ctx, is_shape ? BBW_OP_BAD_INPUT : BBW_OP_OTHER, is_shape ? "shape_mismatch" : "",
                      (bbw_str){detail, strlen(detail)});
}

static bbw_status aggregate(void *self, bbw_ctx *ctx) {
  bbw_fedavg *f = self;
  bbw_value *params, *metadata;
  uint64_t samples;
  bbw_status rv = bbw_value_new_plain(&metadata, BBW_TYPE_FEDAVG_META, 0,
                                      f->mem); /* first: what follows must not fail after the round is over */
  if (rv != BBW_OK) { return rv; }
  rv = bbw_fedavg_aggregate(f, &params, &samples);
  if (rv != BBW_OK) {
    bbw_value_release(metadata, f->mem);
    if (rv != BBW_E_EMPTY) { return rv; }
    return bbw_ctx_fail(ctx, BBW_OP_OTHER, "empty", BBW_STR("empty buffer: no contributions to reduce"));
  }
  metadata->as.u64 = samples; /* not shared yet */
  bbw_ctx_set_output(ctx, 0, params);
  bbw_ctx_set_output(ctx, 1, metadata);
  return BBW_OK;
}

static const bbw_operator operators[] = {{"Contribute", BBW_ROLE_AGGREGATOR, false, contribute},
                                         {"Aggregate", BBW_ROLE_AGGREGATOR, false, aggregate}};
enum { OPERATOR_COUNT = sizeof operators / sizeof operators[0] };

static bool supports(const void *self, bbw_role role, bbw_str op_type) {
  (void)self;
  return bbw_operators_have(operators, OPERATOR_COUNT, role, op_type);
}

static bbw_status dispatch(void *self, bbw_ctx *ctx) { return bbw_operators_run(operators, OPERATOR_COUNT, self, ctx); }

const bbw_component_type bbw_fedavg_type = {
    .type_name = "FedAvg",
    .role_bits = BBW_ROLE_BIT(BBW_ROLE_AGGREGATOR),
    .is_framework = true,
    .construct = construct,
    .destroy = destroy,
    .dispatch = dispatch,
    .supports = supports,
    .save = save,
    .restore = restore,
};
