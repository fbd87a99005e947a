/* The wire payload of values: writing and decoding (the declarations are in bbw/value.h). */
#include <string.h>

#include "base/vec.h"
#include "format/bincode.h"
#include "format/value.h"

#define TENSOR_FORMAT 1u /* version byte of the dense array form */

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static uint8_t *put_f32(uint8_t *at, const float *items, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, &items[i], sizeof(bits));
    at = bbw_bincode_put_u32(at, bits);
  }
  return at;
}

static uint8_t *put_tensor(uint8_t *at, const bbw_tensor *tensor) {
  *at++ = TENSOR_FORMAT;
  at = bbw_bincode_put_u64(at, tensor->rank);
  for (size_t i = 0; i < tensor->rank; i++) { at = bbw_bincode_put_u64(at, tensor->dims[i]); }
  at = bbw_bincode_put_u64(at, tensor->count);
  at = put_f32(at, tensor->data, tensor->count);
  at = bbw_bincode_put_u64(at, tensor->rank);
  for (size_t i = 0; i < tensor->rank; i++) { at = bbw_bincode_put_u64(at, tensor->dims[i]); }
  return at;
}

static uint8_t *put_blobs(uint8_t *at, const bbw_value *value) {
  at = bbw_bincode_put_u64(at, value->as.blobs.count);
  for (size_t i = 0; i < value->as.blobs.count; i++) {
    bbw_bytes item = value->as.blobs.items[i];
    at = value->type == BBW_TYPE_ADDRESS_VEC ? bbw_bincode_put_address(at, item) : bbw_bincode_put_view(at, item);
  }
  return at;
}

static uint8_t *put_hits(uint8_t *at, const bbw_value *value) {
  at = bbw_bincode_put_u64(at, value->as.hits.count);
  for (size_t i = 0; i < value->as.hits.count; i++) {
    at = bbw_bincode_put_u64(at, value->as.hits.items[i].id);
    at = put_f32(at, &value->as.hits.items[i].score, 1);
  }
  return at;
}

/* Everything but lists. */
static uint8_t *put_leaf(uint8_t *at, const bbw_value *value) {
  switch ((bbw_type)value->type) {
  case BBW_TYPE_TRIGGER:
  case BBW_TYPE_UNIT: return at;
  case BBW_TYPE_COMMAND_ID:
  case BBW_TYPE_TIMESTAMP:
  case BBW_TYPE_WIRE_REQ_ID:
  case BBW_TYPE_CORRELATION_TOKEN:
  case BBW_TYPE_U64:
  case BBW_TYPE_RAW_U64:
  case BBW_TYPE_FEDAVG_META: return bbw_bincode_put_u64(at, value->as.u64);
  case BBW_TYPE_RAW_U32: return bbw_bincode_put_u32(at, (uint32_t)value->as.u64);
  case BBW_TYPE_RAW_F32: return put_f32(at, &value->as.f32, 1);
  case BBW_TYPE_BYTES:
  case BBW_TYPE_BYTE_SLICE:
  case BBW_TYPE_PEER_ID:
  case BBW_TYPE_RAW_PEER: return bbw_bincode_put_view(at, value->as.bytes);
  case BBW_TYPE_ADDRESS: return bbw_bincode_put_address(at, value->as.bytes);
  case BBW_TYPE_PEER_ID_VEC:
  case BBW_TYPE_RAW_PEER_VEC:
  case BBW_TYPE_ADDRESS_VEC: return put_blobs(at, value);
  case BBW_TYPE_HITS: return put_hits(at, value);
  case BBW_TYPE_CPU_TENSOR:
  case BBW_TYPE_BOXED_CPU_TENSOR: return put_tensor(at, &value->as.tensor);
  case BBW_TYPE_F32_SLICE:
    at = bbw_bincode_put_u64(at, value->as.tensor.count);
    return put_f32(at, value->as.tensor.data, value->as.tensor.count);
  case BBW_TYPE_COMPOSITE:
  case BBW_TYPE_F32_SLICE_VEC:
  case BBW_TYPE_COUNT: break;
  }
  return at;
}

static bool is_list(const bbw_value *value) {
  return value->type == BBW_TYPE_COMPOSITE || value->type == BBW_TYPE_F32_SLICE_VEC;
}

void bbw_value_payload_write(const bbw_value *value, uint8_t *out) {
  struct {
    const bbw_value *list;
    size_t next;
  } frames[BBW_COMPOSITE_DEPTH_MAX];
  size_t depth = 0;
  for (const bbw_value *at = value;;) {
    if (is_list(at)) {
      out = bbw_bincode_put_u64(out, at->as.list.count);
      frames[depth].list = at;
      frames[depth].next = 0;
      depth++;
    } else {
      out = put_leaf(out, at);
    }
    while (depth > 0 && frames[depth - 1].next == frames[depth - 1].list->as.list.count) { depth--; }
    if (depth == 0) { return; }
    const bbw_value *list = frames[depth - 1].list;
    at = list->as.list.items[frames[depth - 1].next++];
    if (list->type == BBW_TYPE_COMPOSITE) {
      out = bbw_bincode_put_u64(out, bbw_type_hash((bbw_type)at->type));
      out = bbw_bincode_put_u64(out, at->payload_bytes);
    }
  }
}

/* ---- decoding ----------------------------------------------------------------------------------------------------- */

#define PEER_BYTES_MIN    (8u + 2u) /* a length and the smallest multihash */
#define ADDRESS_BYTES_MIN 8u        /* a segment count */
#define CHILD_BYTES_MIN   16u       /* a type hash and a length */
#define HIT_BYTES         12u
#define SLICE_BYTES_MIN   8u

static float load_f32(const uint8_t *p) {
  uint32_t bits = bbw_load_u32le(p);
  float number;
  memcpy(&number, &bits, sizeof(number));
  return number;
}

/* A decoder of one form answers BBW_OK with *out, BBW_E_NOMEM, or BBW_E_DECODE with the reader's reason set. */
static bbw_status malformed(bbw_bincode_reader *reader, const char *reason) {
  if (reason != NULL) { reader->reason = reason; }
  return BBW_E_DECODE;
}

static bbw_status read_number(bbw_value **out, bbw_type type, bbw_bincode_reader *reader, const bbw_mem *mem) {
  uint64_t number = 0;
  uint32_t word = 0;
  bool is_word = type == BBW_TYPE_RAW_U32 || type == BBW_TYPE_RAW_F32;
  bool ok = is_word ? bbw_bincode_u32(reader, &word) : bbw_bincode_u64(reader, &number);
  if (!ok) { return malformed(reader, NULL); }
  if (type == BBW_TYPE_RAW_F32) {
    float f;
    memcpy(&f, &word, sizeof(f));
    return bbw_value_new_f32(out, f, mem);
  }
  return bbw_value_new_plain(out, type, is_word ? word : number, mem);
}

/* A peer id or an address as bytes; counts only when `to` is NULL. */
static bool read_blob(bbw_bincode_reader *reader, bool is_address, uint8_t *to, size_t *len) {
  if (is_address) { return bbw_bincode_address(reader, to, len); }
  bbw_peer_id peer;
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
  if (!bbw_bincode_peer(reader, &peer)) { return false; }
  *len = bbw_peer_id_encode(&peer, bytes);
  if (to != NULL) { memcpy(to, bytes, *len); }
  return true;
}

static bbw_status read_bytes(bbw_value **out, bbw_type type, bbw_bincode_reader *reader, const bbw_mem *mem) {
  bbw_bytes view;
  if (!bbw_bincode_view(reader, &view)) { return malformed(reader, NULL); }
  return bbw_value_new_bytes(out, type, view, mem);
}

static bbw_status read_one_blob(bbw_value **out, bbw_type type, bbw_bincode_reader *reader, const bbw_mem *mem) {
  bool is_address = type == BBW_TYPE_ADDRESS;
  bbw_bincode_reader again = *reader;
  size_t len;
  if (!read_blob(reader, is_address, NULL, &len)) { return malformed(reader, NULL); }
  void *data;
  bbw_value *value = bbw_value_alloc(type, 0, 1, len, 1, mem, NULL, &data);
  if (value == NULL) { return BBW_E_NOMEM; }
  (void)read_blob(&again, is_address, data, &len);
  value->as.bytes = (bbw_bytes){data, len};
  *out = value;
  return bbw_value_seal(value);
}

static bbw_status read_blobs(bbw_value **out, bbw_type type, bbw_bincode_reader *reader, const bbw_mem *mem) {
  bool are_addresses = type == BBW_TYPE_ADDRESS_VEC;
  size_t count, total = 0, len = 0;
  if (!bbw_bincode_count(reader, are_addresses ? ADDRESS_BYTES_MIN : PEER_BYTES_MIN, &count)) {
    return malformed(reader, NULL);
  }
  bbw_bincode_reader again = *reader;
  for (size_t i = 0; i < count; i++) {
    if (!read_blob(reader, are_addresses, NULL, &len)) { return malformed(reader, NULL); }
    total += len; /* at most the bytes read */
  }
  void *array, *data;
  bbw_value *value = bbw_value_alloc(type, count, sizeof(bbw_bytes), total, 1, mem, &array, &data);
  if (value == NULL) { return BBW_E_NOMEM; }
  bbw_bytes *views = array;
  uint8_t *to = data;
  for (size_t i = 0; i < count; i++) {
    (void)read_blob(&again, are_addresses, to, &len);
    views[i] = (bbw_bytes){to, len};
    to += len;
  }
  value->as.blobs.items = views;
  value->as.blobs.count = count;
  *out = value;
  return bbw_value_seal(value);
}

static bbw_status read_hits(bbw_value **out, bbw_bincode_reader *reader, const bbw_mem *mem) {
  size_t count;
  if (!bbw_bincode_count(reader, HIT_BYTES, &count)) { return malformed(reader, NULL); }
  void *array;
  bbw_value *value = bbw_value_alloc(BBW_TYPE_HITS, count, sizeof(bbw_hit), 0, 1, mem, &array, NULL);
  if (value == NULL) { return BBW_E_NOMEM; }
  bbw_hit *hits = array;
  bbw_bytes raw = {NULL, 0};
  (void)bbw_bincode_take(reader, count * HIT_BYTES, &raw);
  for (size_t i = 0; i < count; i++) {
    hits[i] = (bbw_hit){.id = bbw_load_u64le(raw.ptr + i * HIT_BYTES), .score = load_f32(raw.ptr + i * HIT_BYTES + 8)};
  }
  value->as.hits.items = hits;
  value->as.hits.count = count;
  *out = value;
  return bbw_value_seal(value);
}

static bbw_status make_tensor(bbw_value **out, bbw_type type, const uint64_t *dims, size_t rank, bbw_bytes raw,
                              const bbw_mem *mem) {
  size_t count = raw.len / 4;
  void *array, *data;
  bbw_value *value = bbw_value_alloc(type, rank, sizeof(uint64_t), count, sizeof(float), mem, &array, &data);
  if (value == NULL) { return BBW_E_NOMEM; }
  if (rank != 0) { memcpy(array, dims, rank * sizeof(uint64_t)); }
  float *elements = data;
  for (size_t i = 0; i < count; i++) { elements[i] = load_f32(raw.ptr + 4 * i); }
  value->as.tensor = (bbw_tensor){.rank = (uint32_t)rank, .dims = array, .count = count, .data = elements};
  *out = value;
  return bbw_value_seal(value);
}

static bbw_status read_tensor(bbw_value **out, bbw_type type, bbw_bincode_reader *reader, const bbw_mem *mem) {
  uint8_t version;
  uint64_t dims[BBW_TENSOR_RANK_MAX];
  size_t rank, count, product, signed_rank;
  bbw_bytes raw, signed_dims;
  if (!bbw_bincode_u8(reader, &version)) { return malformed(reader, NULL); }
  if (version != TENSOR_FORMAT) { return malformed(reader, "unknown array version"); }
  if (!bbw_bincode_count(reader, 8, &rank)) { return malformed(reader, NULL); }
  if (rank > BBW_TENSOR_RANK_MAX) { return malformed(reader, "tensor has too many dimensions"); }
  for (size_t i = 0; i < rank; i++) {
    if (!bbw_bincode_u64(reader, &dims[i])) { return malformed(reader, NULL); }
  }
  if (!bbw_bincode_count(reader, 4, &count)) { return malformed(reader, NULL); }
  (void)bbw_bincode_take(reader, 4 * count, &raw);
  if (!bbw_tensor_count(dims, rank, &product) || product != count) {
    return malformed(reader, "data and dimension must match in size");
  }
  /* The second, signed copy of the shape must be there, but only the first is believed. */
  if (!bbw_bincode_count(reader, 8, &signed_rank)) { return malformed(reader, NULL); }
  (void)bbw_bincode_take(reader, 8 * signed_rank, &signed_dims);
  return make_tensor(out, type, dims, rank, raw, mem);
}

static bbw_status read_slice(bbw_value **out, bbw_bincode_reader *reader, const bbw_mem *mem) {
  size_t count;
  bbw_bytes raw;
  if (!bbw_bincode_count(reader, 4, &count)) { return malformed(reader, NULL); }
  (void)bbw_bincode_take(reader, 4 * count, &raw);
  uint64_t dims[1] = {count};
  return make_tensor(out, BBW_TYPE_F32_SLICE, dims, 1, raw, mem);
}

/* Everything but lists. */
static bbw_status read_leaf(bbw_value **out, bbw_type type, bbw_bincode_reader *reader, const bbw_mem *mem) {
  switch (type) {
  case BBW_TYPE_TRIGGER:
  case BBW_TYPE_UNIT: return bbw_value_new_plain(out, type, 0, mem);
  case BBW_TYPE_COMMAND_ID:
  case BBW_TYPE_TIMESTAMP:
  case BBW_TYPE_WIRE_REQ_ID:
  case BBW_TYPE_CORRELATION_TOKEN:
  case BBW_TYPE_U64:
  case BBW_TYPE_RAW_U64:
  case BBW_TYPE_FEDAVG_META:
  case BBW_TYPE_RAW_U32:
  case BBW_TYPE_RAW_F32: return read_number(out, type, reader, mem);
  case BBW_TYPE_BYTES:
  case BBW_TYPE_BYTE_SLICE: return read_bytes(out, type, reader, mem);
  case BBW_TYPE_PEER_ID:
  case BBW_TYPE_RAW_PEER:
  case BBW_TYPE_ADDRESS: return read_one_blob(out, type, reader, mem);
  case BBW_TYPE_PEER_ID_VEC:
  case BBW_TYPE_RAW_PEER_VEC:
  case BBW_TYPE_ADDRESS_VEC: return read_blobs(out, type, reader, mem);
  case BBW_TYPE_HITS: return read_hits(out, reader, mem);
  case BBW_TYPE_CPU_TENSOR:
  case BBW_TYPE_BOXED_CPU_TENSOR: return read_tensor(out, type, reader, mem);
  case BBW_TYPE_F32_SLICE: return read_slice(out, reader, mem);
  case BBW_TYPE_COMPOSITE:
  case BBW_TYPE_F32_SLICE_VEC:
  case BBW_TYPE_COUNT: break;
  }
  return malformed(reader, "type has no decoder");
}

/* A list whose children are being read. */
typedef struct list_frame {
  bbw_value *list;
  bbw_value **items; /* list->as.list.items */
  size_t next;
  bbw_bincode_reader reader; /* over the bytes of this list; offsets are those of the whole payload */
} list_frame;

static bbw_status open_list(bbw_vec *frames, bbw_type type, bbw_bincode_reader reader, size_t *bad_at,
                            const char **reason, const bbw_mem *mem) {
  *bad_at = reader.at;
  size_t count;
  if (!bbw_bincode_count(&reader, type == BBW_TYPE_COMPOSITE ? CHILD_BYTES_MIN : SLICE_BYTES_MIN, &count)) {
    *reason = reader.reason;
    return BBW_E_DECODE;
  }
  if (frames->count == BBW_COMPOSITE_DEPTH_MAX) { return BBW_E_DEPTH; }
  list_frame *frame = bbw_vec_push(frames);
  if (frame == NULL) { return BBW_E_NOMEM; }
  void *array;
  bbw_value *list = bbw_value_alloc(type, count, sizeof(bbw_value *), 0, 1, mem, &array, NULL);
  if (list == NULL) {
    frames->count--;
    return BBW_E_NOMEM;
  }
  list->as.list.items = array;
  list->as.list.count = count;
  *frame = (list_frame){.list = list, .items = array, .next = 0, .reader = reader};
  return BBW_OK;
}

/* Reads the head of the next child: its type, and a reader that ends where the child ends. */
static bool child_head(list_frame *frame, bbw_type *type, bbw_bincode_reader *child) {
  bbw_bincode_reader *reader = &frame->reader;
  if (frame->list->type == BBW_TYPE_F32_SLICE_VEC) {
    *type = BBW_TYPE_F32_SLICE;
    *child = *reader;
    return true;
  }
  uint64_t hash;
  bbw_bytes view;
  size_t start = reader->at;
  if (!bbw_bincode_u64(reader, &hash) || !bbw_bincode_view(reader, &view)) { return false; }
  if (!bbw_type_from_hash(hash, type) || !bbw_type_is_decodable(*type)) {
    reader->at = start;
    reader->reason = "a child has an unknown type hash";
    return false;
  }
  *child = (bbw_bincode_reader){.bytes = {reader->bytes.ptr, reader->at}, .at = reader->at - view.len};
  return true;
}

/* Decodes the children of the innermost list until a list opens or this one is full. */
static bbw_status fill_list(bbw_vec *frames, size_t *bad_at, const char **reason, const bbw_mem *mem) {
  list_frame *frame = BBW_VEC_AT(frames, list_frame, frames->count - 1);
  while (frame->next < frame->list->as.list.count) {
    bbw_type type;
    bbw_bincode_reader child;
    if (!child_head(frame, &type, &child)) {
      *bad_at = frame->reader.at;
      *reason = frame->reader.reason;
      return BBW_E_DECODE;
    }
    if (type == BBW_TYPE_COMPOSITE || type == BBW_TYPE_F32_SLICE_VEC) {
      return open_list(frames, type, child, bad_at, reason, mem);
    }
    bbw_status rv = read_leaf(&frame->items[frame->next], type, &child, mem);
    if (rv != BBW_OK) {
      *bad_at = child.at;
      *reason = child.reason;
      return rv;
    }
    if (frame->list->type == BBW_TYPE_F32_SLICE_VEC) { frame->reader.at = child.at; }
    frame->next++;
  }
  return BBW_OK;
}

static bbw_status read_list(bbw_value **out, bbw_type type, bbw_bytes payload, size_t *bad_at, const char **reason,
                            const bbw_mem *mem) {
  bbw_vec frames;
  bbw_vec_init(&frames, sizeof(list_frame), mem);
  bbw_status rv = open_list(&frames, type, (bbw_bincode_reader){.bytes = payload}, bad_at, reason, mem);
  while (rv == BBW_OK) {
    rv = fill_list(&frames, bad_at, reason, mem);
    if (rv != BBW_OK) { break; }
    list_frame *frame = BBW_VEC_AT(&frames, list_frame, frames.count - 1);
    if (frame->next < frame->list->as.list.count) { continue; } /* an inner list was opened */
    bbw_value *done = frame->list;
    rv = bbw_value_seal(done);
    if (rv != BBW_OK) { break; }
    frames.count--;
    if (frames.count == 0) {
      bbw_vec_free(&frames);
      *out = done;
      return BBW_OK;
    }
    frame = BBW_VEC_AT(&frames, list_frame, frames.count - 1);
    frame->items[frame->next++] = done;
  }
  for (size_t i = 0; i < frames.count; i++) { bbw_value_release(BBW_VEC_AT(&frames, list_frame, i)->list, mem); }
  bbw_vec_free(&frames);
  return rv;
}

bbw_status bbw_value_decode_shared(bbw_value **out, uint64_t type_hash, bbw_bytes payload, bbw_shared *owner,
                                   const bbw_mem *mem, bbw_error *err) {
  if (type_hash != bbw_type_hash(BBW_TYPE_BYTES)) { return bbw_value_decode(out, type_hash, payload, mem, err); }
  bbw_bincode_reader reader = {.bytes = payload};
  bbw_bytes view;
  /* The ordinary way says what is wrong. */
  if (!bbw_bincode_view(&reader, &view)) { return bbw_value_decode(out, type_hash, payload, mem, err); }
  bbw_value *value = bbw_value_alloc(BBW_TYPE_BYTES, 0, 1, 0, 1, mem, NULL, NULL);
  if (value == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  value->as.bytes = view;
  value->owner = owner;
  owner->refs++;
  *out = value;
  return bbw_value_seal(value);
}

bbw_status bbw_value_decode(bbw_value **out, uint64_t type_hash, bbw_bytes payload, const bbw_mem *mem,
                            bbw_error *err) {
  bbw_type type;
  if (!bbw_type_from_hash(type_hash, &type) || !bbw_type_is_decodable(type)) {
    bbw_status rv = bbw_error_set(err, BBW_E_UNKNOWN_TYPE_HASH);
    bbw_error_add_u64(err, "type_hash", type_hash);
    return rv;
  }
  bbw_bincode_reader reader = {.bytes = payload};
  size_t bad_at = 0;
  const char *reason = NULL;
  bbw_status rv;
  if (type == BBW_TYPE_COMPOSITE || type == BBW_TYPE_F32_SLICE_VEC) {
    rv = read_list(out, type, payload, &bad_at, &reason, mem);
  } else {
    rv = read_leaf(out, type, &reader, mem);
    bad_at = reader.at;
    reason = reader.reason;
  }
  if (rv == BBW_OK) { return BBW_OK; }
  (void)bbw_error_set_at(err, rv, rv == BBW_E_NOMEM ? 0 : bad_at);
  if (reason != NULL) { bbw_error_add_str(err, "summary", (bbw_str){reason, strlen(reason)}); }
  return rv;
}
