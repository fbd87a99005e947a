/* Golden artifacts: what the protobuf codec reads from them, and that it writes them back byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "format/onnx.h"
#include "vectors.h"

static bool text_is(bbw_str got, const json *want) { return bbw_str_equal(got, json_text(want)); }

static bool texts_match(const bbw_proto_list *got, const json *want) {
  if (got->count != json_count(want)) { return false; }
  for (size_t i = 0; i < got->count; i++) {
    if (!text_is(*BBW_PROTO_AT(got, bbw_str, i), json_at(want, i))) { return false; }
  }
  return true;
}

/* Metadata is dumped as a list of [key, value]. */
static bool metadata_matches(const bbw_proto_list *got, const json *want) {
  if (got->count != json_count(want)) { return false; }
  for (size_t i = 0; i < got->count; i++) {
    const bbw_onnx_entry *entry = BBW_PROTO_AT(got, bbw_onnx_entry, i);
    const json *pair = json_at(want, i);
    bbw_str first;
    if (!text_is(entry->key, json_at(pair, 0)) || !text_is(entry->value, json_at(pair, 1))) { return false; }
    if (!bbw_onnx_entry_find(got, entry->key, &first)) { return false; }
  }
  return true;
}

static bool attribute_matches(vectors_case *c, const bbw_onnx_attribute *got, const json *want) {
  VECTOR(text_is(got->name, json_get(want, "name")));
  VECTOR(got->type == json_i64(json_get(want, "type")));
  if (json_get(want, "i") != NULL) { VECTOR(got->i == json_i64(json_get(want, "i"))); }
  if (json_get(want, "s") != NULL) { VECTOR(bbw_bytes_equal(got->s, json_hex(json_get(want, "s"), &c->arena))); }
  if (json_get(want, "t") != NULL) {
    bbw_bytes bytes;
    VECTOR(got->t != NULL);
    VECTOR(bbw_proto_encode(&bytes, got->t, &bbw_onnx_tensor_type_table, &c->arena) == BBW_OK);
    VECTOR(bbw_bytes_equal(bytes, json_hex(json_get(want, "t"), &c->arena)));
  }
  return true;
}

static bool node_matches(vectors_case *c, const bbw_onnx_node *got, const json *want) {
  VECTOR(text_is(got->op_type, json_get(want, "op_type")));
  VECTOR(text_is(got->domain, json_get(want, "domain")));
  VECTOR(text_is(got->name, json_get(want, "name")));
  VECTOR(texts_match(&got->input, json_get(want, "input")));
  VECTOR(texts_match(&got->output, json_get(want, "output")));
  VECTOR(metadata_matches(&got->metadata_props, json_get(want, "metadata")));
  const json *attributes = json_get(want, "attribute");
  VECTOR(got->attribute.count == json_count(attributes));
  for (size_t i = 0; i < got->attribute.count; i++) {
    const bbw_onnx_attribute *attribute = BBW_PROTO_AT(&got->attribute, bbw_onnx_attribute, i);
    VECTOR(attribute_matches(c, attribute, json_at(attributes, i)));
    VECTOR(bbw_onnx_attribute_find(got, attribute->name) != NULL);
  }
  return true;
}

static bool value_info_matches(vectors_case *c, const bbw_onnx_value_info *got, const json *want) {
  const json *opaque = json_get(json_get(want, "value"), "opaque");
  VECTOR(text_is(got->name, json_get(want, "name")));
  VECTOR(got->type != NULL && text_is(got->type->denotation, json_get(want, "denotation")));
  if (opaque != NULL) {
    VECTOR(got->type->opaque_type != NULL && got->type->tensor_type == NULL);
    VECTOR(text_is(got->type->opaque_type->domain, json_at(opaque, 0)));
    VECTOR(text_is(got->type->opaque_type->name, json_at(opaque, 1)));
  }
  return true;
}

static bool function_matches(vectors_case *c, const bbw_onnx_function *got, const json *want) {
  VECTOR(text_is(got->name, json_get(want, "name")));
  VECTOR(text_is(got->domain, json_get(want, "domain")));
  VECTOR(text_is(got->overload, json_get(want, "overload")));
  VECTOR(texts_match(&got->input, json_get(want, "input")));
  VECTOR(texts_match(&got->output, json_get(want, "output")));
  VECTOR(texts_match(&got->attribute, json_get(want, "attribute")));
  VECTOR(metadata_matches(&got->metadata_props, json_get(want, "metadata")));
  const json *infos = json_get(want, "value_info"), *nodes = json_get(want, "nodes");
  VECTOR(got->value_info.count == json_count(infos));
  for (size_t i = 0; i < got->value_info.count; i++) {
    VECTOR(value_info_matches(c, BBW_PROTO_AT(&got->value_info, bbw_onnx_value_info, i), json_at(infos, i)));
  }
  VECTOR(got->node.count == json_count(nodes));
  for (size_t i = 0; i < got->node.count; i++) {
    VECTOR(node_matches(c, BBW_PROTO_AT(&got->node, bbw_onnx_node, i), json_at(nodes, i)));
  }
  return true;
}

static bool check_model(vectors_case *c, const json *file, const json *dump) {
  if (json_is_null(file)) { return true; }
  bbw_bytes bytes = vector_file(c, file), again;
  bbw_onnx_model model;
  VECTOR(bbw_proto_decode(&model, &bbw_onnx_model_type, bytes, &c->arena, &c->err) == BBW_OK);
  VECTOR(bbw_proto_encode(&again, &model, &bbw_onnx_model_type, &c->arena) == BBW_OK);
  VECTOR(bbw_bytes_equal(again, bytes));
  if (json_is_null(dump)) { return true; }
  VECTOR(metadata_matches(&model.metadata_props, json_get(dump, "metadata")));
  VECTOR(model.functions.count == json_count(json_get(dump, "functions")));
  for (size_t i = 0; i < model.functions.count; i++) {
    const bbw_onnx_function *function = BBW_PROTO_AT(&model.functions, bbw_onnx_function, i);
    VECTOR(function_matches(c, function, json_at(json_get(dump, "functions"), i)));
  }
  return true;
}

/* Damaged models: they decode, unless the damage is said to be in the encoding; and what decodes can be written and read again. */
static bool check_broken(vectors_case *c) {
  bbw_bytes bytes = vector_file(c, vector_get(c, "file")), first, second;
  bbw_onnx_model model;
  bbw_status rv = bbw_proto_decode(&model, &bbw_onnx_model_type, bytes, &c->arena, &c->err);
  if (json_is(json_get(vector_get(c, "error"), "variant"), "(model decode error)")) {
    VECTOR(rv == BBW_E_PROTOBUF);
    return true;
  }
  VECTOR(rv == BBW_OK);
  VECTOR(bbw_proto_encode(&first, &model, &bbw_onnx_model_type, &c->arena) == BBW_OK);
  VECTOR(bbw_proto_decode(&model, &bbw_onnx_model_type, first, &c->arena, &c->err) == BBW_OK);
  VECTOR(bbw_proto_encode(&second, &model, &bbw_onnx_model_type, &c->arena) == BBW_OK);
  VECTOR(bbw_bytes_equal(first, second));
  return true;
}

static bool check_artifact(vectors_case *c) {
  if (vector_is(c, "broken")) { return check_broken(c); }
  VECTOR(check_model(c, vector_get(c, "recorded_file"), vector_get(c, "recorded")));
  VECTOR(check_model(c, vector_get(c, "compiled_file"), vector_get(c, "compiled")));
  return true;
}

static void artifacts(void **state) {
  (void)state;
  assert_int_equal(vectors_run("artifacts", check_artifact), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(artifacts)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
