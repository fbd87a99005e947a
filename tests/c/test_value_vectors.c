/* Golden value payloads, type hashes and tensor messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "format/bincode.h"
#include "format/tensor_proto.h"
#include "vectors.h"

/* The nine carriers that the reference can receive; the others are decoded by us alone. */
static bool reference_decodes(bbw_type type) {
  static const uint8_t decoder[] = {
#define TYPE(name, js, hash, decoder_, path, lattice) [BBW_TYPE_##name] = (decoder_),
#include "bbw/types.def"
#undef TYPE
  };
  return decoder[type] == 1;
}

static bbw_bytes encode(vectors_case *c, const bbw_value *value) {
  size_t size = bbw_value_payload_size(value);
  bbw_bytes out = vector_exact(c, (bbw_bytes){bbw_arena_array(&c->arena, size, 1), size});
  bbw_value_payload_write(value, (uint8_t *)(uintptr_t)out.ptr);
  return out;
}

/* ---- content ------------------------------------------------------------------------------------------------------ */

static bool address_matches(vectors_case *c, bbw_bytes binary, const json *want) {
  char text[4096];
  size_t need;
  VECTOR(bbw_address_to_text(binary, text, sizeof(text), &need) == BBW_OK);
  VECTOR(bbw_str_equal((bbw_str){text, need}, json_text(want)));
  return true;
}

static bool floats_match(vectors_case *c, const bbw_tensor *tensor, const json *bits) {
  VECTOR(tensor->count == json_count(bits));
  for (size_t i = 0; i < tensor->count; i++) {
    bbw_bytes want = json_hex(json_at(bits, i), &c->arena); /* written big end first */
    uint32_t got;
    memcpy(&got, &tensor->data[i], sizeof(got));
    VECTOR(got ==
           ((uint32_t)want.ptr[0] << 24 | (uint32_t)want.ptr[1] << 16 | (uint32_t)want.ptr[2] << 8 | want.ptr[3]));
  }
  return true;
}

static bool tensor_matches(vectors_case *c, const bbw_value *value, const json *want) {
  const json *dims = json_get(want, "dims");
  VECTOR(((uintptr_t)value->as.tensor.data & 15) == 0);
  VECTOR(value->as.tensor.rank == json_count(dims));
  for (size_t i = 0; i < json_count(dims); i++) { VECTOR(value->as.tensor.dims[i] == json_u64(json_at(dims, i))); }
  return floats_match(c, &value->as.tensor, json_get(want, "f32_bits"));
}

static bool children_match(vectors_case *c, const bbw_value *value, const json *want) {
  const json *children = json_get(want, "children");
  if (json_get(want, "count") != NULL) { VECTOR(value->as.list.count == json_u64(json_get(want, "count"))); }
  for (size_t i = 0; i < json_count(children); i++) {
    const bbw_value *child = value->as.list.items[i];
    const json *one = json_at(children, i);
    VECTOR(bbw_type_hash((bbw_type)child->type) == json_u64(json_get(one, "type_hash")));
    if (json_get(one, "payload") == NULL) { continue; }
    VECTOR(bbw_bytes_equal(encode(c, child), json_hex(json_get(one, "payload"), &c->arena)));
  }
  return true;
}

static bool content_matches(vectors_case *c, const bbw_value *value, const json *want) {
  switch ((bbw_type)value->type) {
  case BBW_TYPE_COMMAND_ID:
  case BBW_TYPE_TIMESTAMP:
  case BBW_TYPE_WIRE_REQ_ID:
  case BBW_TYPE_CORRELATION_TOKEN:
  case BBW_TYPE_U64:
  case BBW_TYPE_RAW_U64:
  case BBW_TYPE_RAW_U32: VECTOR(value->as.u64 == json_u64(want)); return true;
  case BBW_TYPE_PEER_ID: VECTOR(bbw_bytes_equal(value->as.bytes, json_hex(want, &c->arena))); return true;
  case BBW_TYPE_BYTES:
    if (want->kind == JSON_STRING) { VECTOR(bbw_bytes_equal(value->as.bytes, json_hex(want, &c->arena))); }
    return true;
  case BBW_TYPE_ADDRESS: return address_matches(c, value->as.bytes, want);
  case BBW_TYPE_PEER_ID_VEC:
  case BBW_TYPE_ADDRESS_VEC:
    VECTOR(value->as.blobs.count == json_count(want));
    for (size_t i = 0; i < value->as.blobs.count; i++) {
      VECTOR(bbw_bytes_equal(value->as.blobs.items[i], json_hex(json_at(want, i), &c->arena)));
    }
    return true;
  case BBW_TYPE_COMPOSITE: return children_match(c, value, want);
  case BBW_TYPE_CPU_TENSOR: return tensor_matches(c, value, want);
  case BBW_TYPE_TRIGGER: VECTOR(json_is_null(want)); return true;
  default: return true; /* plain Rust values: the payload says it all */
  }
}

/* ---- payloads ----------------------------------------------------------------------------------------------------- */

static bool with_value(vectors_case *c, const bbw_value *value, bbw_bytes want) {
  VECTOR(bbw_bytes_equal(encode(c, value), want));
  if (vector_is(c, "value")) { return content_matches(c, value, vector_get(c, "value")); }
  return true;
}

static bool check_payload(vectors_case *c) {
  uint64_t hash = vector_is(c, "nested") ? bbw_type_hash(BBW_TYPE_COMPOSITE) : json_u64(vector_get(c, "type_hash"));
  bbw_type type;
  if (!bbw_type_from_hash(hash, &type)) { return vector_skip(c, "not a carrier here"); }
  bbw_bytes payload = vector_hex(c, "payload");
  bbw_value *value;
  if (vector_is(c, "value")) { VECTOR(json_is_true(vector_get(c, "has_decoder")) == reference_decodes(type)); }
  VECTOR(bbw_value_decode(&value, hash, payload, &c->mem.mem, &c->err) == BBW_OK);
  bool ok = value->type == type && with_value(c, value, payload);
  bbw_value_release(value, &c->mem.mem);
  return ok;
}

/* The signed copy of a tensor's shape comes last in its payload; we write it from the dims (see docs/COMPATIBILITY.md), where the reference
 * repeats what it received. */
static bbw_bytes with_own_shape(vectors_case *c, bbw_bytes payload, const bbw_value *value) {
  size_t rank = value->as.tensor.rank;
  size_t head = 1 + 8 + 8 * rank + 8 + 4 * value->as.tensor.count;
  uint8_t *out = bbw_arena_array(&c->arena, head + 8 + 8 * rank, 1);
  memcpy(out, payload.ptr, head);
  uint8_t *at = bbw_bincode_put_u64(out + head, rank);
  for (size_t i = 0; i < rank; i++) { at = bbw_bincode_put_u64(at, value->as.tensor.dims[i]); }
  return (bbw_bytes){out, (size_t)(at - out)};
}

static bool check_malformed(vectors_case *c) {
  bbw_bytes payload = vector_hex(c, "payload");
  bbw_value *value;
  bbw_status rv = bbw_value_decode(&value, json_u64(vector_get(c, "type_hash")), payload, &c->mem.mem, &c->err);
  if (!json_is_true(vector_get(c, "ok"))) {
    VECTOR(rv != BBW_OK);
    const json *error = vector_get(c, "error");
    VECTOR(error == NULL ? c->err.status == BBW_E_DECODE : vector_error_matches(c, error));
    return true;
  }
  VECTOR(rv == BBW_OK);
  bbw_bytes want = vector_hex(c, "reencoded");
  if (value->type == BBW_TYPE_CPU_TENSOR) { want = with_own_shape(c, want, value); }
  bool ok = with_value(c, value, want);
  bbw_value_release(value, &c->mem.mem);
  return ok;
}

static bool check_unknown_hash(vectors_case *c) {
  uint64_t hash = json_u64(vector_get(c, "type_hash"));
  bbw_type type;
  bbw_value *value;
  bbw_status rv = bbw_value_decode(&value, hash, (bbw_bytes){NULL, 0}, &c->mem.mem, &c->err);
  /* Carriers that the reference can send but not receive are received here. */
  if (bbw_type_from_hash(hash, &type)) {
    VECTOR(!reference_decodes(type) && bbw_type_is_decodable(type));
    VECTOR(rv != BBW_E_UNKNOWN_TYPE_HASH);
    if (rv == BBW_OK) { bbw_value_release(value, &c->mem.mem); }
    return true;
  }
  VECTOR(rv != BBW_OK);
  VECTOR(vector_error_matches(c, vector_get(c, "error")));
  return true;
}

/* ---- tensor messages ---------------------------------------------------------------------------------------------- */

static bool check_tensor_error(vectors_case *c) {
  bbw_str debug = json_text(vector_get(c, "error_debug"));
  if (bbw_str_starts_with(debug, BBW_STR("ElementTypeMismatch"))) {
    VECTOR(c->err.status == BBW_E_ELEMENT_TYPE);
    VECTOR(bbw_error_number(&c->err, "expected") == 1);
  } else {
    VECTOR(bbw_str_starts_with(debug, BBW_STR("ShapeError")));
    VECTOR(c->err.status == BBW_E_SHAPE);
  }
  return true;
}

static bool check_tensor_proto(vectors_case *c) {
  bbw_bytes proto = vector_hex(c, "proto");
  bbw_onnx_tensor tensor;
  bbw_value *value;
  VECTOR(bbw_proto_decode(&tensor, &bbw_onnx_tensor_type_table, proto, &c->arena, &c->err) == BBW_OK);
  bbw_status rv = bbw_tensor_proto_to_value(&value, &tensor, &c->mem.mem, &c->err);
  const json *is_ok = vector_get(c, "ok");
  if (is_ok != NULL && !json_is_true(is_ok)) {
    VECTOR(rv != BBW_OK);
    return check_tensor_error(c);
  }
  VECTOR(rv == BBW_OK);
  bool ok = tensor_matches(c, value, vector_get(c, "tensor"));
  if (ok && is_ok == NULL) {
    /* This direction was recorded: tensor to message. */
    bbw_onnx_tensor own;
    bbw_bytes bytes;
    ok = bbw_tensor_proto_from_value(&own, value, &c->arena) == BBW_OK &&
         bbw_proto_encode(&bytes, &own, &bbw_onnx_tensor_type_table, &c->arena) == BBW_OK &&
         bbw_bytes_equal(bytes, proto);
    c->why = "tensor to message";
  }
  bbw_value_release(value, &c->mem.mem);
  return ok;
}

/* ---- the rest ----------------------------------------------------------------------------------------------------- */

static bool check_hash(vectors_case *c, const char *key) {
  VECTOR(bbw_fnv1a(BBW_FNV1A_OFFSET, bbw_str_bytes(json_text(vector_get(c, key)))) ==
         json_u64(vector_get(c, "fnv1a64")));
  return true;
}

static bool check_registry(vectors_case *c) {
  const json *hashes = vector_get(c, "hashes");
  size_t count = 0;
  for (size_t i = 0; i < BBW_TYPE_COUNT; i++) { count += reference_decodes((bbw_type)i); }
  VECTOR(count == json_count(hashes));
  for (size_t i = 0; i < count; i++) {
    bbw_type type;
    VECTOR(bbw_type_from_hash(json_u64(json_at(hashes, i)), &type) && reference_decodes(type));
  }
  return true;
}

static bool check_value(vectors_case *c) {
  if (vector_is(c, "value") || vector_is(c, "nested")) { return check_payload(c); }
  if (vector_is(c, "malformed")) { return check_malformed(c); }
  if (vector_is(c, "unknown_hash")) { return check_unknown_hash(c); }
  if (vector_is(c, "tensor_proto")) { return check_tensor_proto(c); }
  if (vector_is(c, "hash")) { return check_hash(c, "string"); }
  if (vector_is(c, "type_path")) { return check_hash(c, "path"); }
  if (vector_is(c, "registry")) { return check_registry(c); }
  return vector_skip(c, "shows how serde writes a Rust type that no carrier has");
}

static void values(void **state) {
  (void)state;
  assert_int_equal(vectors_run("values", check_value), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(values)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
