#include "format/value.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "bbw/address.h"
#include "bbw/peer_id.h"
#include "format/bincode.h"

/* ---- types -------------------------------------------------------------------------------------------------------- */

static const struct {
  uint64_t hash;
  bbw_str name;
  bool is_decodable;
} types[BBW_TYPE_COUNT] = {
#define TYPE(name_, js, hash_, decoder, path, lattice) \
  [BBW_TYPE_##name_] = {.hash = (hash_), .name = {#js, sizeof(#js) - 1}, .is_decodable = (decoder) != 0},
#include "bbw/types.def"
#undef TYPE
};

uint64_t bbw_type_hash(bbw_type type) { return types[type].hash; }

bbw_str bbw_type_name(bbw_type type) { return types[type].name; }

bool bbw_type_is_decodable(bbw_type type) { return types[type].is_decodable; }

bool bbw_type_from_hash(uint64_t hash, bbw_type *out) {
  for (size_t i = 0; i < BBW_TYPE_COUNT; i++) {
    if (types[i].hash == hash) {
      *out = (bbw_type)i;
      return true;
    }
  }
  return false;
}

/* What the union of a value of some type holds. */
typedef enum value_form {
  FORM_NONE,
  FORM_U64,
  FORM_U32,
  FORM_F32,
  FORM_BYTES,
  FORM_PEER,
  FORM_ADDRESS,
  FORM_PEERS,
  FORM_ADDRESSES,
  FORM_LIST,
  FORM_HITS,
  FORM_TENSOR,
} value_form;

static value_form form_of(bbw_type type) {
  switch (type) {
  case BBW_TYPE_TRIGGER:
  case BBW_TYPE_UNIT: return FORM_NONE;
  case BBW_TYPE_COMMAND_ID:
  case BBW_TYPE_TIMESTAMP:
  case BBW_TYPE_WIRE_REQ_ID:
  case BBW_TYPE_CORRELATION_TOKEN:
  case BBW_TYPE_U64:
  case BBW_TYPE_RAW_U64:
  case BBW_TYPE_FEDAVG_META: return FORM_U64;
  case BBW_TYPE_RAW_U32: return FORM_U32;
  case BBW_TYPE_RAW_F32: return FORM_F32;
  case BBW_TYPE_BYTES:
  case BBW_TYPE_BYTE_SLICE: return FORM_BYTES;
  case BBW_TYPE_PEER_ID:
  case BBW_TYPE_RAW_PEER: return FORM_PEER;
  case BBW_TYPE_ADDRESS: return FORM_ADDRESS;
  case BBW_TYPE_PEER_ID_VEC:
  case BBW_TYPE_RAW_PEER_VEC: return FORM_PEERS;
  case BBW_TYPE_ADDRESS_VEC: return FORM_ADDRESSES;
  case BBW_TYPE_COMPOSITE:
  case BBW_TYPE_F32_SLICE_VEC: return FORM_LIST;
  case BBW_TYPE_HITS: return FORM_HITS;
  case BBW_TYPE_CPU_TENSOR:
  case BBW_TYPE_BOXED_CPU_TENSOR:
  case BBW_TYPE_F32_SLICE: return FORM_TENSOR;
  case BBW_TYPE_COUNT: break;
  }
  return FORM_NONE;
}

bool bbw_value_is_tensor(const bbw_value *value) { return form_of((bbw_type)value->type) == FORM_TENSOR; }

/* ---- allocation --------------------------------------------------------------------------------------------------- */

#define ALIGN        16u
#define HEADER_BYTES ((sizeof(bbw_value) + ALIGN - 1) & ~(size_t)(ALIGN - 1))

bbw_value *bbw_value_alloc(bbw_type type, size_t array_count, size_t array_item_bytes, size_t data_count,
                           size_t data_item_bytes, const bbw_mem *mem, void **array, void **data) {
  size_t array_bytes, data_bytes, total;
  if (!bbw_size_mul(array_count, array_item_bytes, &array_bytes) || array_bytes > SIZE_MAX - ALIGN) { return NULL; }
  array_bytes = (array_bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
  if (!bbw_size_mul(data_count, data_item_bytes, &data_bytes)) { return NULL; }
  if (!bbw_size_add(HEADER_BYTES, array_bytes, &total) || !bbw_size_add(total, data_bytes, &total)) { return NULL; }
  uint8_t *block = mem->alloc(mem->ctx, total);
  if (block == NULL) { return NULL; }
  bbw_value *value = (bbw_value *)(void *)block;
  *value = (bbw_value){.refs = 1, .type = (uint16_t)type, .own_bytes = total};
  if (array_bytes != 0) { memset(block + HEADER_BYTES, 0, array_bytes); }
  if (array != NULL) { *array = block + HEADER_BYTES; }
  if (data != NULL) { *data = block + HEADER_BYTES + array_bytes; }
  return value;
}

/* ---- sizes -------------------------------------------------------------------------------------------------------- */

/* a + b, or SIZE_MAX when that does not fit.  SIZE_MAX stays SIZE_MAX. */
static size_t plus(size_t a, size_t b) { return b > SIZE_MAX - a ? SIZE_MAX : a + b; }
static size_t times(size_t a, size_t b) { return b != 0 && a > SIZE_MAX / b ? SIZE_MAX : a * b; }

static size_t list_bytes(const bbw_value *value, size_t per_item) {
  size_t total = 8;
  for (size_t i = 0; i < value->as.list.count; i++) {
    total = plus(total, plus(per_item, value->as.list.items[i]->payload_bytes));
  }
  return total;
}

static size_t blobs_bytes(const bbw_value *value, bool are_addresses) {
  size_t total = 8;
  for (size_t i = 0; i < value->as.blobs.count; i++) {
    bbw_bytes item = value->as.blobs.items[i];
    total = plus(total, are_addresses ? bbw_bincode_address_size(item) : plus(8, item.len));
  }
  return total;
}

static size_t tensor_bytes(const bbw_value *value) {
  size_t elements = times(value->as.tensor.count, 4);
  if (value->type == BBW_TYPE_F32_SLICE) { return plus(8, elements); }
  /* version, rank, dims, count, elements, rank, signed dims */
  return plus(1 + 3 * 8 + 16 * (size_t)value->as.tensor.rank, elements);
}

static size_t payload_bytes_of(const bbw_value *value) {
  switch (form_of((bbw_type)value->type)) {
  case FORM_NONE: return 0;
  case FORM_U64: return 8;
  case FORM_U32:
  case FORM_F32: return 4;
  case FORM_BYTES:
  case FORM_PEER: return plus(8, value->as.bytes.len);
  case FORM_ADDRESS: return bbw_bincode_address_size(value->as.bytes);
  case FORM_PEERS: return blobs_bytes(value, false);
  case FORM_ADDRESSES: return blobs_bytes(value, true);
  case FORM_LIST: return list_bytes(value, value->type == BBW_TYPE_COMPOSITE ? 16 : 0);
  case FORM_HITS: return plus(8, times(value->as.hits.count, 12));
  case FORM_TENSOR: return tensor_bytes(value);
  }
  return 0;
}

bbw_status bbw_value_seal(bbw_value *value) {
  value->payload_bytes = payload_bytes_of(value);
  if (form_of((bbw_type)value->type) != FORM_LIST) { return BBW_OK; }
  unsigned deepest = 0;
  for (size_t i = 0; i < value->as.list.count; i++) {
    if (value->as.list.items[i]->depth > deepest) { deepest = value->as.list.items[i]->depth; }
  }
  if (deepest >= BBW_COMPOSITE_DEPTH_MAX) { return BBW_E_DEPTH; }
  value->depth = (uint16_t)(deepest + 1);
  return BBW_OK;
}

size_t bbw_value_payload_size(const bbw_value *value) { return value->payload_bytes; }

bool bbw_tensor_count(const uint64_t *dims, size_t rank, size_t *count) {
  if (rank > BBW_TENSOR_RANK_MAX) { return false; }
  uint64_t product = 1;
  bool has_zero = false;
  for (size_t i = 0; i < rank; i++) {
    if (dims[i] == 0) {
      has_zero = true;
    } else if (dims[i] > (uint64_t)INT64_MAX / product) {
      return false;
    } else {
      product *= dims[i];
    }
  }
  if (has_zero) { product = 0; }
  if (product > SIZE_MAX / sizeof(float)) { return false; }
  *count = (size_t)product;
  return true;
}

/* ---- makers ------------------------------------------------------------------------------------------------------- */

bbw_status bbw_value_new_plain(bbw_value **out, bbw_type type, uint64_t number, const bbw_mem *mem) {
  value_form form = form_of(type);
  if (form != FORM_NONE && form != FORM_U64 && form != FORM_U32) { return BBW_E_ARG; }
  if (form == FORM_U32 && number > UINT32_MAX) { return BBW_E_ARG; }
  bbw_value *value = bbw_value_alloc(type, 0, 1, 0, 1, mem, NULL, NULL);
  if (value == NULL) { return BBW_E_NOMEM; }
  value->as.u64 = form == FORM_NONE ? 0 : number;
  *out = value;
  return bbw_value_seal(value);
}

bbw_status bbw_value_new_f32(bbw_value **out, float number, const bbw_mem *mem) {
  bbw_value *value = bbw_value_alloc(BBW_TYPE_RAW_F32, 0, 1, 0, 1, mem, NULL, NULL);
  if (value == NULL) { return BBW_E_NOMEM; }
  value->as.f32 = number;
  *out = value;
  return bbw_value_seal(value);
}

/* Length of a peer id or an address in its shortest spelling; written to `to` unless that is NULL. */
static bbw_status blob_canonical(bool is_address, bbw_bytes blob, uint8_t *to, size_t *len) {
  if (is_address) {
    bbw_status rv = bbw_address_canonical(blob, to, to == NULL ? 0 : blob.len, len);
    return rv == BBW_E_BUFFER ? BBW_OK : rv;
  }
  bbw_peer_id peer;
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
  bbw_status rv = bbw_peer_id_decode(&peer, blob, NULL);
  if (rv != BBW_OK) { return rv; }
  *len = bbw_peer_id_encode(&peer, bytes);
  if (to != NULL) { memcpy(to, bytes, *len); }
  return BBW_OK;
}

bbw_status bbw_value_new_bytes(bbw_value **out, bbw_type type, bbw_bytes content, const bbw_mem *mem) {
  value_form form = form_of(type);
  if (form != FORM_BYTES && form != FORM_PEER && form != FORM_ADDRESS) { return BBW_E_ARG; }
  size_t len = content.len;
  if (form != FORM_BYTES) {
    bbw_status rv = blob_canonical(form == FORM_ADDRESS, content, NULL, &len);
    if (rv != BBW_OK) { return rv; }
  }
  void *data;
  /* The room of the input is enough: the shortest spelling is never longer. */
  bbw_value *value = bbw_value_alloc(type, 0, 1, content.len, 1, mem, NULL, &data);
  if (value == NULL) { return BBW_E_NOMEM; }
  if (form != FORM_BYTES) {
    (void)blob_canonical(form == FORM_ADDRESS, content, data, &len);
  } else if (len != 0) {
    memcpy(data, content.ptr, len);
  }
  value->as.bytes = (bbw_bytes){data, len};
  *out = value;
  if (form != FORM_BYTES) { return bbw_value_seal(value); }
  value->payload_bytes = plus(8, len); /* what sealing does, for the values that every invoke makes */
  return BBW_OK;
}

bbw_status bbw_value_new_blobs(bbw_value **out, bbw_type type, const bbw_bytes *items, size_t count,
                               const bbw_mem *mem) {
  value_form form = form_of(type);
  if (form != FORM_PEERS && form != FORM_ADDRESSES) { return BBW_E_ARG; }
  bool are_addresses = form == FORM_ADDRESSES;
  size_t total = 0;
  for (size_t i = 0; i < count; i++) {
    size_t len;
    bbw_status rv = blob_canonical(are_addresses, items[i], NULL, &len);
    if (rv != BBW_OK) { return rv; }
    if (!bbw_size_add(total, items[i].len, &total)) { return BBW_E_NOMEM; }
  }
  void *array, *data;
  bbw_value *value = bbw_value_alloc(type, count, sizeof(bbw_bytes), total, 1, mem, &array, &data);
  if (value == NULL) { return BBW_E_NOMEM; }
  bbw_bytes *views = array;
  uint8_t *to = data;
  for (size_t i = 0; i < count; i++) {
    size_t len = 0;
    (void)blob_canonical(are_addresses, items[i], to, &len);
    views[i] = (bbw_bytes){to, len};
    to += len;
  }
  value->as.blobs.items = views;
  value->as.blobs.count = count;
  *out = value;
  return bbw_value_seal(value);
}

bbw_status bbw_value_new_list(bbw_value **out, bbw_type type, bbw_value *const *items, size_t count,
                              const bbw_mem *mem) {
  if (form_of(type) != FORM_LIST) { return BBW_E_ARG; }
  for (size_t i = 0; i < count; i++) {
    if (type == BBW_TYPE_F32_SLICE_VEC && items[i]->type != BBW_TYPE_F32_SLICE) { return BBW_E_ARG; }
    if (items[i]->depth >= BBW_COMPOSITE_DEPTH_MAX) { return BBW_E_DEPTH; }
  }
  void *array;
  bbw_value *value = bbw_value_alloc(type, count, sizeof(bbw_value *), 0, 1, mem, &array, NULL);
  if (value == NULL) { return BBW_E_NOMEM; }
  bbw_value **children = array;
  for (size_t i = 0; i < count; i++) { children[i] = bbw_value_retain(items[i]); }
  value->as.list.items = children;
  value->as.list.count = count;
  *out = value;
  return bbw_value_seal(value);
}

bbw_status bbw_value_new_hits(bbw_value **out, const bbw_hit *items, size_t count, const bbw_mem *mem) {
  void *array;
  bbw_value *value = bbw_value_alloc(BBW_TYPE_HITS, count, sizeof(bbw_hit), 0, 1, mem, &array, NULL);
  if (value == NULL) { return BBW_E_NOMEM; }
  if (count != 0) { memcpy(array, items, count * sizeof(bbw_hit)); }
  value->as.hits.items = array;
  value->as.hits.count = count;
  *out = value;
  return bbw_value_seal(value);
}

bbw_status bbw_value_new_tensor(bbw_value **out, float **data, bbw_type type, const uint64_t *dims, uint32_t rank,
                                const bbw_mem *mem) {
  if (form_of(type) != FORM_TENSOR) { return BBW_E_ARG; }
  size_t count;
  if (type == BBW_TYPE_F32_SLICE && rank != 1) { return BBW_E_SHAPE; }
  if (!bbw_tensor_count(dims, rank, &count)) { return BBW_E_SHAPE; }
  void *array, *elements;
  bbw_value *value = bbw_value_alloc(type, rank, sizeof(uint64_t), count, sizeof(float), mem, &array, &elements);
  if (value == NULL) { return BBW_E_NOMEM; }
  if (rank != 0) { memcpy(array, dims, rank * sizeof(uint64_t)); }
  if (count != 0) { memset(elements, 0, count * sizeof(float)); }
  value->as.tensor = (bbw_tensor){.rank = rank, .dims = array, .count = count, .data = elements};
  *out = value;
  *data = elements;
  return bbw_value_seal(value);
}

/* ---- references --------------------------------------------------------------------------------------------------- */

bbw_value *bbw_value_retain(bbw_value *value) {
  assert(value->refs < UINT32_MAX);
  value->refs++;
  return value;
}

void bbw_shared_release(bbw_shared *shared, const bbw_mem *mem) {
  if (--shared->refs == 0) { mem->free(mem->ctx, shared, shared->own_bytes); }
}

void bbw_value_release(bbw_value *value, const bbw_mem *mem) {
  if (value == NULL || --value->refs != 0) { return; }
  /* A dead list waits in a chain for its children to be released; its payload size is not needed any more and holds the link. */
  static_assert(sizeof(size_t) >= sizeof(uintptr_t), "a pointer fits in payload_bytes");
  bbw_value *chain = value;
  chain->payload_bytes = 0;
  while (chain != NULL) {
    bbw_value *dead = chain;
    chain = (bbw_value *)(uintptr_t)dead->payload_bytes;
    bool is_list = form_of((bbw_type)dead->type) == FORM_LIST;
    for (size_t i = 0; is_list && i < dead->as.list.count; i++) {
      bbw_value *child = dead->as.list.items[i];
      if (child == NULL || --child->refs != 0) { continue; }
      child->payload_bytes = (size_t)(uintptr_t)chain;
      chain = child;
    }
    if (dead->owner != NULL) { bbw_shared_release(dead->owner, mem); }
    mem->free(mem->ctx, dead, dead->own_bytes);
  }
}
