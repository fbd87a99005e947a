/* The protobuf codec: install specification §1.1 as cases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "format/onnx.h"
#include "hex.h"
#include "test_mem.h"

#define INPUT_BYTES_MAX 4096u

/* What decoding and encoding again gives; NULL: refused with `want`. */
static const struct {
  const char *name;
  const bbw_proto_message *type;
  const char *hex;
  bbw_status want;
  size_t offset;
  const char *again;
} cases[] = {
    {"no bytes are the empty message", &bbw_onnx_model_type, "", BBW_OK, 0, ""},
    {"scalars equal to the default are not written", &bbw_onnx_model_type, "080012002800", BBW_OK, 0, ""},
    {"the last scalar wins", &bbw_onnx_model_type, "080108020803", BBW_OK, 0, "0803"},
    {"the last text wins", &bbw_onnx_model_type,
     "12016112016212"
     "0163",
     BBW_OK, 0, "120163"},
    {"fields are written in ascending order", &bbw_onnx_model_type,
     "3200"
     "320164"
     "0801",
     BBW_OK, 0, "0801320164"},
    {"a non-minimal varint is accepted", &bbw_onnx_model_type, "08818000", BBW_OK, 0, "0801"},
    {"an int64 of -1 takes ten bytes", &bbw_onnx_model_type, "08ffffffffffffffffff01", BBW_OK, 0,
     "08ffffffffffffffffff01"},
    {"a tenth byte above 1 is refused", &bbw_onnx_model_type, "08ffffffffffffffffff02", BBW_E_PROTOBUF, 1, NULL},
    {"a varint of eleven bytes is refused", &bbw_onnx_model_type, "08ffffffffffffffffffff01", BBW_E_PROTOBUF, 1, NULL},
    {"a varint cut short is refused", &bbw_onnx_model_type, "0880", BBW_E_PROTOBUF, 1, NULL},
    {"an int32 of 2^32 + 1 is 1", &bbw_onnx_tensor_type_table, "108180808010", BBW_OK, 0, "1001"},
    {"an int32 of -1 is sign-extended", &bbw_onnx_tensor_type_table, "10ffffffff0f", BBW_OK, 0,
     "10ffffffffffffffffff01"},
    {"an enum out of range is kept", &bbw_onnx_tensor_type_table, "7063", BBW_OK, 0, "7063"},
    {"a present empty message is written", &bbw_onnx_model_type, "3a00", BBW_OK, 0, "3a00"},
    {"a message given twice is merged", &bbw_onnx_model_type,
     "3a03120161"
     "3a03520162",
     BBW_OK, 0, "3a06120161520162"},
    {"lists of a merged message are appended", &bbw_onnx_model_type,
     "3a020a00"
     "3a020a00",
     BBW_OK, 0, "3a040a000a00"},
    {"an unknown varint is skipped", &bbw_onnx_model_type, "98067b0801", BBW_OK, 0, "0801"},
    {"an unknown fixed64 is skipped", &bbw_onnx_model_type, "990600000000000000000801", BBW_OK, 0, "0801"},
    {"an unknown fixed32 is skipped", &bbw_onnx_model_type, "9d06000000000801", BBW_OK, 0, "0801"},
    {"unknown bytes are skipped", &bbw_onnx_model_type, "9a060261620801", BBW_OK, 0, "0801"},
    {"an unknown group is skipped", &bbw_onnx_model_type, "9b0698067b9c060801", BBW_OK, 0, "0801"},
    {"a group closed by another number is refused", &bbw_onnx_model_type, "9b06a406", BBW_E_PROTOBUF, 4, NULL},
    {"a stray end of group is refused", &bbw_onnx_model_type, "9c06", BBW_E_PROTOBUF, 2, NULL},
    {"an open group is refused", &bbw_onnx_model_type, "9b06", BBW_E_PROTOBUF, 2, NULL},
    {"field number 0 is refused", &bbw_onnx_model_type, "0001", BBW_E_PROTOBUF, 0, NULL},
    {"wire type 6 is refused", &bbw_onnx_model_type, "0e", BBW_E_PROTOBUF, 0, NULL},
    {"wire type 7 is refused", &bbw_onnx_model_type, "0f", BBW_E_PROTOBUF, 0, NULL},
    {"a key above 32 bits is refused", &bbw_onnx_model_type, "888080801001", BBW_E_PROTOBUF, 0, NULL},
    {"a known field of another wire type is refused", &bbw_onnx_model_type, "0a00", BBW_E_PROTOBUF, 0, NULL},
    {"a known message as a varint is refused", &bbw_onnx_model_type, "3801", BBW_E_PROTOBUF, 0, NULL},
    {"a length beyond the end is refused", &bbw_onnx_model_type, "120261", BBW_E_PROTOBUF, 1, NULL},
    {"a length of 2^63 is refused", &bbw_onnx_model_type, "128080808080808080800161", BBW_E_PROTOBUF, 1, NULL},
    {"a field may not leave its message", &bbw_onnx_model_type, "3a02120161", BBW_E_PROTOBUF, 3, NULL},
    {"text is checked", &bbw_onnx_model_type, "1202c328", BBW_E_UTF8, 2, NULL},
    {"surrogates are not text", &bbw_onnx_model_type, "1203eda080", BBW_E_UTF8, 2, NULL},
    {"bytes are not checked", &bbw_onnx_tensor_type_table, "4a02c328", BBW_OK, 0, "4a02c328"},
    {"packed numbers stay packed", &bbw_onnx_tensor_type_table, "0a03018001", BBW_OK, 0, "0a03018001"},
    {"unpacked numbers become packed", &bbw_onnx_tensor_type_table, "08010802", BBW_OK, 0, "0a020102"},
    {"packed and unpacked may be mixed", &bbw_onnx_tensor_type_table, "08010a02020308040a00", BBW_OK, 0,
     "0a0401020304"},
    {"an empty packed run writes nothing", &bbw_onnx_tensor_type_table, "0a00", BBW_OK, 0, ""},
    {"a packed run of half a number is refused", &bbw_onnx_tensor_type_table, "0a0180", BBW_E_PROTOBUF, 1, NULL},
    {"a packed run with half a number at its end is refused", &bbw_onnx_tensor_type_table, "0a020180", BBW_E_PROTOBUF,
     3, NULL},
    {"packed floats", &bbw_onnx_tensor_type_table, "22080000803f00000040", BBW_OK, 0, "22080000803f00000040"},
    {"one unpacked float", &bbw_onnx_tensor_type_table, "250000803f", BBW_OK, 0, "22040000803f"},
    {"packed floats of five bytes are refused", &bbw_onnx_tensor_type_table, "22050000803f00", BBW_E_PROTOBUF, 1, NULL},
    {"packed doubles", &bbw_onnx_tensor_type_table, "5208000000000000f83f", BBW_OK, 0, "5208000000000000f83f"},
    {"an empty element of a list of bytes is written", &bbw_onnx_tensor_type_table, "32003201ff", BBW_OK, 0,
     "32003201ff"},
    {"a list of floats keeps zero, minus zero and NaN", &bbw_onnx_tensor_type_table, "220c00000000000000800100c07f",
     BBW_OK, 0, "220c00000000000000800100c07f"},
    {"the last member of a oneof wins", &bbw_onnx_value_info_type,
     "1204"
     "0a003a00",
     BBW_OK, 0, "12023a00"},
    {"the same member of a oneof merges", &bbw_onnx_value_info_type,
     "1208"
     "0a0208010a021200",
     BBW_OK, 0, "12060a0408011200"},
    {"a dropped member of a oneof clears the others", &bbw_onnx_value_info_type,
     "1204"
     "0a002200",
     BBW_OK, 0, "1200"},
    {"a oneof is written at its lowest number", &bbw_onnx_value_info_type,
     "1207"
     "3201613a020a00",
     BBW_OK, 0, "12053a00320161"},
    {"a dimension of 0 is not an absent one", &bbw_onnx_value_info_type,
     "1208"
     "0a0612040a020800",
     BBW_OK, 0, "12080a0612040a020800"},
    {"a dimension has one of its two forms", &bbw_onnx_value_info_type,
     "120b"
     "0a0912070a0508071201"
     "6e",
     BBW_OK, 0, "12090a0712050a0312016e"},
    {"the spec's attribute", &bbw_onnx_node_type, "2a150a0b646561646c696e655f6e731880c2d72fa00102", BBW_OK, 0,
     "2a150a0b646561646c696e655f6e731880c2d72fa00102"},
    {"the spec's tensor", &bbw_onnx_tensor_type_table, "0a020102100122080000803f00000040", BBW_OK, 0,
     "0a020102100122080000803f00000040"},
};

static void rules(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    uint8_t buffer[INPUT_BYTES_MAX], want_buffer[INPUT_BYTES_MAX];
    union {
      bbw_onnx_model model;
      bbw_onnx_tensor tensor;
      bbw_onnx_value_info info;
      bbw_onnx_node node;
    } message;
    test_mem mem;
    bbw_arena arena;
    bbw_error err;
    bbw_bytes out;
    test_mem_init(&mem);
    bbw_arena_init(&arena, &mem.mem);
    bbw_status rv = bbw_proto_decode(&message, cases[i].type, hex_bytes(cases[i].hex, buffer), &arena, &err);
    if (rv != cases[i].want) { fail_msg("%s: status %d", cases[i].name, (int)rv); }
    if (rv == BBW_OK) {
      bbw_bytes want = hex_bytes(cases[i].again, want_buffer);
      assert_int_equal(bbw_proto_encode(&out, &message, cases[i].type, &arena), BBW_OK);
      if (!bbw_bytes_equal(out, want)) { fail_msg("%s: other bytes", cases[i].name); }
    } else if (err.offset != cases[i].offset || err.status != (int32_t)rv) {
      fail_msg("%s: offset %d", cases[i].name, (int)err.offset);
    }
    bbw_arena_free(&arena);
    assert_int_equal(mem.live_bytes, 0);
  }
}

/* Empty messages inside each other: an attribute holds a graph, which holds a node, which holds an attribute, ...  `phase` picks what the
 * innermost is: 0 a graph, 1 an attribute, 2 a node. */
static size_t nested_messages(uint8_t *out, size_t cap, size_t messages, size_t phase) {
  static const uint8_t keys[3] = {0x32, 0x2a, 0x0a}; /* Attribute.g, Node.attribute, Graph.node */
  size_t at = cap;
  size_t size = 0;
  for (size_t i = 0; i < messages; i++) {
    uint8_t length[10];
    size_t length_bytes = bbw_pbwire_varint_write(size, length);
    at -= length_bytes;
    memcpy(out + at, length, length_bytes);
    out[--at] = keys[(i + phase) % 3];
    size += length_bytes + 1;
  }
  memmove(out, out + at, size);
  return size;
}

static void nesting(void **state) {
  (void)state;
  uint8_t bytes[1024];
  bbw_arena arena;
  bbw_error err;
  bbw_bytes out;
  bbw_arena_init(&arena, &bbw_mem_libc);
  bbw_onnx_graph graph;
  bbw_onnx_node node;
  size_t len = nested_messages(bytes, sizeof(bytes), 100, 2); /* the last key is Graph.node */
  bbw_status rv = bbw_proto_decode(&graph, &bbw_onnx_graph_type, (bbw_bytes){bytes, len}, &arena, &err);
  assert_int_equal(rv, BBW_OK);
  assert_int_equal(bbw_proto_encode(&out, &graph, &bbw_onnx_graph_type, &arena), BBW_OK);
  assert_int_equal(out.len, len);
  assert_memory_equal(out.ptr, bytes, len);
  len = nested_messages(bytes, sizeof(bytes), 101, 0); /* the last key is Node.attribute */
  rv = bbw_proto_decode(&node, &bbw_onnx_node_type, (bbw_bytes){bytes, len}, &arena, &err);
  assert_int_equal(rv, BBW_E_DEPTH);
  assert_int_equal(err.status, BBW_E_DEPTH);
  /* Encoding has the same limit: a graph in an attribute that is its own. */
  bbw_onnx_attribute attribute = {.i = 0};
  bbw_onnx_node knot = {.attribute = {.items = &attribute, .count = 1}};
  bbw_onnx_graph loop = {.node = {.items = &knot, .count = 1}};
  attribute.g = &loop;
  assert_int_equal(bbw_proto_encode(&out, &loop, &bbw_onnx_graph_type, &arena), BBW_E_DEPTH);
  bbw_arena_free(&arena);
}

static void groups_nest_100_deep(void **state) {
  (void)state;
  uint8_t bytes[256];
  bbw_onnx_model model;
  bbw_error err;
  bbw_arena arena;
  bbw_arena_init(&arena, &bbw_mem_libc);
  for (size_t depth = 99; depth <= 101; depth++) {
    memset(bytes, 0x7b, depth); /* field 15, start of a group */
    memset(bytes + depth, 0x7c, depth);
    bbw_status want = depth <= 100 ? BBW_OK : BBW_E_DEPTH;
    assert_int_equal(bbw_proto_decode(&model, &bbw_onnx_model_type, (bbw_bytes){bytes, 2 * depth}, &arena, &err), want);
  }
  bbw_arena_free(&arena);
}

/* A model with every kind of field. */
static const char rich[] = "0801"
                           "120161"
                           "2802"
                           "3a10"
                           "0a0e"
                           "0a0178"
                           "120179"
                           "2a06"
                           "0a0161"
                           "a00101"
                           "7206"
                           "0a016b"
                           "120176"
                           "ca0108"
                           "0a0166"
                           "2201782a"
                           "00";

static void cut_at_every_position(void **state) {
  (void)state;
  uint8_t buffer[INPUT_BYTES_MAX];
  bbw_bytes whole = hex_bytes(rich, buffer);
  size_t accepted = 0;
  for (size_t len = 0; len <= whole.len; len++) {
    uint8_t *exact = malloc(len == 0 ? 1 : len);
    test_mem mem;
    bbw_arena arena;
    bbw_onnx_model model;
    bbw_error err;
    memcpy(exact, whole.ptr, len);
    test_mem_init(&mem);
    bbw_arena_init(&arena, &mem.mem);
    bbw_status rv = bbw_proto_decode(&model, &bbw_onnx_model_type, (bbw_bytes){exact, len}, &arena, &err);
    assert_true(rv == BBW_OK || (rv == BBW_E_PROTOBUF && err.offset <= len));
    accepted += rv == BBW_OK;
    bbw_arena_free(&arena);
    assert_int_equal(mem.live_bytes, 0);
    free(exact);
  }
  /* Whole fields only: "", 0801, 120161, 2802, graph, entry, function. */
  assert_int_equal(accepted, 7);
}

static void every_byte_flipped(void **state) {
  (void)state;
  uint8_t buffer[INPUT_BYTES_MAX];
  bbw_bytes whole = hex_bytes(rich, buffer);
  for (size_t i = 0; i < 8 * whole.len; i++) {
    buffer[i / 8] ^= (uint8_t)(1u << (i % 8));
    bbw_arena arena;
    bbw_onnx_model model;
    bbw_bytes out;
    bbw_arena_init(&arena, &bbw_mem_libc);
    if (bbw_proto_decode(&model, &bbw_onnx_model_type, whole, &arena, NULL) == BBW_OK) {
      assert_int_equal(bbw_proto_encode(&out, &model, &bbw_onnx_model_type, &arena), BBW_OK);
    }
    bbw_arena_free(&arena);
    buffer[i / 8] ^= (uint8_t)(1u << (i % 8));
  }
}

static void every_allocation_fails_once(void **state) {
  (void)state;
  uint8_t buffer[INPUT_BYTES_MAX];
  bbw_bytes whole = hex_bytes(rich, buffer);
  test_mem mem;
  test_mem_init(&mem);
  bbw_status rv = BBW_E_NOMEM;
  size_t nth = 0;
  for (; rv != BBW_OK; nth++) {
    bbw_arena arena;
    bbw_onnx_model model;
    bbw_error err;
    bbw_bytes out;
    bbw_arena_init(&arena, test_mem_fail_at(&mem, nth));
    rv = bbw_proto_decode(&model, &bbw_onnx_model_type, whole, &arena, &err);
    if (rv == BBW_OK) { rv = bbw_proto_encode(&out, &model, &bbw_onnx_model_type, &arena); }
    assert_true(rv == BBW_OK || rv == BBW_E_NOMEM);
    bbw_arena_free(&arena);
    assert_int_equal(mem.live_bytes, 0);
  }
  assert_true(nth > 1);
}

/* The doubling of lists must not lose or repeat elements. */
static void long_lists(void **state) {
  (void)state;
  for (size_t count = 1; count <= 70; count++) {
    uint8_t bytes[512];
    size_t len = 0;
    bbw_arena arena;
    bbw_onnx_tensor tensor;
    bbw_arena_init(&arena, &bbw_mem_libc);
    for (size_t i = 0; i < count; i++) { /* in runs of 1, 2 and 3 */
      bytes[len++] = 0x08;
      bytes[len++] = (uint8_t)i;
    }
    assert_int_equal(bbw_proto_decode(&tensor, &bbw_onnx_tensor_type_table, (bbw_bytes){bytes, len}, &arena, NULL),
                     BBW_OK);
    assert_int_equal(tensor.dims.count, count);
    for (size_t i = 0; i < count; i++) { assert_int_equal(*BBW_PROTO_AT(&tensor.dims, int64_t, i), i); }
    bbw_arena_free(&arena);
  }
}

static void look_ups(void **state) {
  (void)state;
  bbw_onnx_entry entries[] = {{BBW_STR("a"), BBW_STR("1")}, {BBW_STR("b"), BBW_STR("2")}, {BBW_STR("a"), BBW_STR("3")}};
  bbw_proto_list list = {entries, 3};
  bbw_str value;
  assert_true(bbw_onnx_entry_find(&list, BBW_STR("a"), &value));
  assert_true(bbw_str_equal(value, BBW_STR("1"))); /* the first wins */
  assert_false(bbw_onnx_entry_find(&list, BBW_STR(""), &value));
  bbw_onnx_attribute attributes[] = {{.name = BBW_STR("x"), .i = 1}, {.name = BBW_STR("x"), .i = 2}};
  bbw_onnx_node node = {.attribute = {attributes, 2}};
  assert_ptr_equal(bbw_onnx_attribute_find(&node, BBW_STR("x")), &attributes[0]);
  assert_null(bbw_onnx_attribute_find(&node, BBW_STR("y")));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rules),
      cmocka_unit_test(nesting),
      cmocka_unit_test(groups_nest_100_deep),
      cmocka_unit_test(cut_at_every_position),
      cmocka_unit_test(every_byte_flipped),
      cmocka_unit_test(every_allocation_fails_once),
      cmocka_unit_test(long_lists),
      cmocka_unit_test(look_ups),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
