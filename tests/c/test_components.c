/* The shipped Model component and the peer selectors, operator by operator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "component_call.h"
#include "components/onnx_model.h"
#include "components/peer_selectors.h"
#include "components/shipped.h"
#include "kernel_data.h"
#include "vectors.h"

/* ---- the model ---- */

enum { PARAMETERS = 30 + 5 + 15, SAMPLES = 60 };

static void *make_model(component_call *call, void (*build)(onnx_file *f)) {
  onnx_file f;
  onnx_file_init(&f);
  build(&f);
  void *self = NULL;
  assert_int_equal(
      bbw_onnx_model_component.construct(&self, &bbw_onnx_model_component, true, onnx_bytes(&f), &call->mem.mem, NULL),
      BBW_OK);
  onnx_file_free(&f);
  return self;
}

static void samples(float *x, float *labels) {
  kernel_fill(x, SAMPLES * 6, 60, -1.0f, 1.0f);
  for (size_t i = 0; i < SAMPLES; i++) {
    labels[i] = (float)(i % 3);
    x[i * 6 + i % 3] += 1.8f;
  }
}

static bbw_status run(component_call *call, void *self) { return call_run(call, &bbw_onnx_model_component, self); }

static void begin_samples(component_call *call, const char *op_type, size_t outputs, const char *label_dims) {
  float x[SAMPLES * 6], labels[SAMPLES];
  samples(x, labels);
  call_begin(call, BBW_ROLE_MODEL, op_type, outputs);
  call_tensor(call, 0, BBW_TYPE_F32_SLICE, "360", x, SAMPLES * 6);
  call_tensor(call, 1, BBW_TYPE_CPU_TENSOR, label_dims, labels, SAMPLES);
}

static void read_parameters(component_call *call, void *self, float *out) {
  call_begin(call, BBW_ROLE_MODEL, "Params", 1);
  assert_int_equal(run(call, self), BBW_OK);
  assert_int_equal(call_output(call, 0)->rank, 1);
  assert_int_equal(call_output(call, 0)->count, PARAMETERS);
  memcpy(out, call_output(call, 0)->data, PARAMETERS * sizeof(float));
}

static void train(component_call *call, void *self) {
  begin_samples(call, "Train", 2, "60");
  onnx_attribute_int(&call->names, call->node, "epochs", 5);
  onnx_attribute_int(&call->names, call->node, "batch_size", 8);
  onnx_attribute_float(&call->names, call->node, "learning_rate", 0.2f);
  onnx_attribute_int(&call->names, call->node, "seed", 7);
  assert_int_equal(run(call, self), BBW_OK);
  assert_int_equal(call->outputs[0]->type, BBW_TYPE_RAW_F32);
  assert_int_equal(call->outputs[1]->type, BBW_TYPE_FEDAVG_META);
  assert_int_equal(call->outputs[1]->as.u64, SAMPLES);
}

static float evaluate(component_call *call, void *self) {
  begin_samples(call, "Evaluate", 2, "60 1");
  assert_int_equal(run(call, self), BBW_OK);
  assert_int_equal(call->outputs[1]->type, BBW_TYPE_RAW_F32);
  assert_true(call->outputs[1]->as.f32 >= 0.0f && call->outputs[1]->as.f32 <= 1.0f);
  return call->outputs[0]->as.f32;
}

static void test_model_trains(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  void *self = make_model(&call, onnx_small_network), *other = make_model(&call, onnx_small_network);
  float start[PARAMETERS], first[PARAMETERS], second[PARAMETERS], again[PARAMETERS];
  read_parameters(&call, self, start);
  float before = evaluate(&call, self);
  train(&call, self);
  read_parameters(&call, self, first);
  assert_true(evaluate(&call, self) < 0.7f * before);
  /* The same parameters trained a second time take the samples in another order. */
  call_begin(&call, BBW_ROLE_MODEL, "LoadParameters", 1);
  call_tensor(&call, 0, BBW_TYPE_BOXED_CPU_TENSOR, "50", start, PARAMETERS);
  assert_int_equal(run(&call, self), BBW_OK);
  train(&call, self);
  read_parameters(&call, self, second);
  assert_true(kernel_first_difference(first, second, PARAMETERS) < PARAMETERS);
  /* Saved and restored in between, it goes on as if nothing had been. */
  train(&call, other);
  uint8_t *saved;
  size_t len;
  assert_int_equal(bbw_onnx_model_component.save(other, &call.mem.mem, &saved, &len), BBW_OK);
  void *restored = make_model(&call, onnx_small_network);
  assert_int_equal(bbw_onnx_model_component.restore(restored, (bbw_bytes){saved, len}, &call.mem.mem, NULL), BBW_OK);
  for (size_t cut = 0; cut < len; cut++) {
    assert_int_equal(bbw_onnx_model_component.restore(restored, (bbw_bytes){saved, cut}, &call.mem.mem, NULL),
                     BBW_E_RESTORE_COMPONENT);
  }
  train(&call, other);
  read_parameters(&call, other, second);
  train(&call, restored);
  read_parameters(&call, restored, again);
  assert_int_equal(kernel_first_difference(second, again, PARAMETERS), PARAMETERS);
  saved[len - 1] = 0xff; /* a NaN is no parameter */
  saved[len - 2] = 0xff;
  assert_int_equal(bbw_onnx_model_component.restore(restored, (bbw_bytes){saved, len}, &call.mem.mem, NULL),
                   BBW_E_RESTORE_COMPONENT);
  read_parameters(&call, restored, again);
  assert_int_equal(kernel_first_difference(second, again, PARAMETERS), PARAMETERS);
  call.mem.mem.free(call.mem.mem.ctx, saved, len);
  bbw_onnx_model_component.destroy(restored, &call.mem.mem);
  bbw_onnx_model_component.destroy(other, &call.mem.mem);
  bbw_onnx_model_component.destroy(self, &call.mem.mem);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

/* forward, compute_loss, backward and apply_delta make the step that train makes. */
static void test_a_step_from_single_operators(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  void *self = make_model(&call, onnx_small_network);
  float x[6], y[3], gradient[3], delta[PARAMETERS], loss[2];
  kernel_fill(x, 6, 5, -1.0f, 1.0f);
  const float label = 2.0f;
  for (int round = 0; round < 2; round++) {
    call_begin(&call, BBW_ROLE_MODEL, "Forward", 1);
    call_tensor(&call, 0, BBW_TYPE_CPU_TENSOR, "1 6", x, 6);
    assert_int_equal(run(&call, self), BBW_OK);
    assert_int_equal(call_output(&call, 0)->rank, 2);
    memcpy(y, call_output(&call, 0)->data, sizeof y);
    call_begin(&call, BBW_ROLE_MODEL, "ComputeLoss", 1);
    call_tensor(&call, 0, BBW_TYPE_CPU_TENSOR, "1 3", y, 3);
    call_tensor(&call, 1, BBW_TYPE_CPU_TENSOR, "1", &label, 1);
    assert_int_equal(run(&call, self), BBW_OK);
    loss[round] = call.outputs[0]->as.f32;
    for (size_t i = 0; i < 3; i++) { gradient[i] = i == 2 ? -0.5f : 0.25f; } /* roughly the way to go */
    call_begin(&call, BBW_ROLE_MODEL, "Backward", 1);
    call_tensor(&call, 0, BBW_TYPE_CPU_TENSOR, "1 3", gradient, 3);
    assert_int_equal(run(&call, self), BBW_OK);
    for (size_t i = 0; i < PARAMETERS; i++) { delta[i] = -0.1f * call_output(&call, 0)->data[i]; }
    call_begin(&call, BBW_ROLE_MODEL, "ApplyDelta", 1);
    call_tensor(&call, 0, BBW_TYPE_F32_SLICE, "50", delta, PARAMETERS);
    assert_int_equal(run(&call, self), BBW_OK);
  }
  assert_true(loss[1] < loss[0]);
  call_begin(&call, BBW_ROLE_MODEL, "Backward", 1); /* the parameters have changed since */
  call_tensor(&call, 0, BBW_TYPE_CPU_TENSOR, "1 3", gradient, 3);
  assert_int_equal(run(&call, self), BBW_E_COMPONENT);
  assert_true(call_reason_is(&call, "no_forward"));
  bbw_onnx_model_component.destroy(self, &call.mem.mem);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

static void test_model_refuses(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  void *self = make_model(&call, onnx_small_network);
  float x[14] = {0};
  static const struct {
    const char *op_type, *dims0;
    size_t count0;
    const char *dims1;
    size_t count1;
    const char *reason;
  } cases[] = {
      {"Forward", "7", 7, NULL, 0, "shape_mismatch"},        {"Forward", "3 4", 12, NULL, 0, "shape_mismatch"},
      {"LoadParameters", "7", 7, NULL, 0, "shape_mismatch"}, {"ApplyDelta", "0", 0, NULL, 0, "shape_mismatch"},
      {"Train", "2 6", 12, "3", 3, "shape_mismatch"},        {"Train", "0 6", 0, "0", 0, "empty"},
      {"Train", "2 6", 12, NULL, 0, "input_type_mismatch"},  {"Evaluate", "12", 12, "2 2", 4, "shape_mismatch"},
      {"ComputeLoss", "2 3", 6, "5", 5, "shape_mismatch"},   {"Teach", "2 6", 12, NULL, 0, "unknown op_type"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    call_begin(&call, BBW_ROLE_MODEL, cases[i].op_type, 2);
    call_tensor(&call, 0, BBW_TYPE_CPU_TENSOR, cases[i].dims0, x, cases[i].count0);
    if (cases[i].dims1 != NULL) { call_tensor(&call, 1, BBW_TYPE_CPU_TENSOR, cases[i].dims1, x, cases[i].count1); }
    assert_int_equal(run(&call, self), BBW_E_COMPONENT);
    if (!call_reason_is(&call, cases[i].reason)) { print_error("%s: %s\n", cases[i].op_type, call.ctx.error_reason); }
    assert_true(call_reason_is(&call, cases[i].reason));
    assert_null(call.outputs[0]);
  }
  static const char *const attributes[] = {"epochs", "batch_size"};
  for (size_t i = 0; i < 2; i++) {
    begin_samples(&call, "Train", 2, "60");
    onnx_attribute_int(&call.names, call.node, attributes[i], 0);
    assert_int_equal(run(&call, self), BBW_E_COMPONENT);
    assert_true(call_reason_is(&call, "invalid_attribute"));
  }
  begin_samples(&call, "Train", 2, "60");
  onnx_attribute_float(&call.names, call.node, "learning_rate", 1e38f);
  assert_int_equal(run(&call, self), BBW_E_COMPONENT);
  assert_true(call_reason_is(&call, "not_finite"));
  call_begin(&call, BBW_ROLE_MODEL, "Forward", 1); /* no input */
  assert_int_equal(run(&call, self), BBW_E_COMPONENT);
  assert_true(call_reason_is(&call, "input_type_mismatch"));
  bbw_onnx_model_component.destroy(self, &call.mem.mem);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

static void odd_network(onnx_file *f) {
  onnx_small_network(f);
  onnx_node(f, "Frobnicate", "conv1", "x w1", "c");
  onnx_node(f, "Unfold", "", "x", "resized");
}
static void wrong_network(onnx_file *f) {
  onnx_small_network(f);
  onnx_node(f, "MatMul", "fc3", "y w1", "z");
  f->output_count = 0;
  onnx_output(f, "z");
}

static bool field_is(const bbw_error *err, const char *name, const char *want) {
  return bbw_str_equal(bbw_error_field(err, name), (bbw_str){want, strlen(want)});
}

static void test_model_files_that_are_refused(void **state) {
  (void)state;
  const bbw_component_type *type = &bbw_onnx_model_component;
  bbw_error err;
  void *self = NULL;
  assert_int_equal(type->construct(&self, type, false, (bbw_bytes){NULL, 0}, &bbw_mem_libc, &err),
                   BBW_E_INST_MISSING_CONFIG);
  onnx_file f;
  onnx_file_init(&f);
  odd_network(&f);
  assert_int_equal(type->construct(&self, type, true, onnx_bytes(&f), &bbw_mem_libc, &err), BBW_E_INST_CONSTRUCTION);
  assert_true(field_is(&err, "nodes", "conv1: Frobnicate (opset 17)"));
  assert_true(field_is(&err, "cause", "E_ONNX_UNSUPPORTED"));
  assert_true(bbw_str_equal(bbw_error_item(&err, "nodes", 1), BBW_STR("resized: Unfold (opset 17)")));
  onnx_file_free(&f);
  onnx_file_init(&f);
  wrong_network(&f);
  assert_int_equal(type->construct(&self, type, true, onnx_bytes(&f), &bbw_mem_libc, &err), BBW_E_INST_CONSTRUCTION);
  assert_true(field_is(&err, "detail", "the inner dimensions are not equal (fc3)"));
  onnx_file_free(&f);
  static const uint8_t garbage[] = {0xff, 0xff, 0xff};
  assert_int_equal(type->construct(&self, type, true, (bbw_bytes){garbage, 3}, &bbw_mem_libc, &err),
                   BBW_E_INST_CONSTRUCTION);
  assert_null(self);
}

/* ---- peer selectors ---- */

static void know(component_call *call, uint64_t peer) {
  bbw_peer_id id = bbw_peer_id_from_u64(peer);
  static const uint8_t somewhere[] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0, 5};
  bbw_bytes address = {somewhere, sizeof somewhere};
  assert_int_equal(bbw_address_book_add_peer(&call->engine.address_book, &id, &address, 1), BBW_OK);
}

/* The peers of output 0 as numbers. */
static size_t peers_of(const component_call *call, uint64_t *out) {
  assert_int_equal(call->outputs[0]->type, BBW_TYPE_PEER_ID_VEC);
  size_t count = call->outputs[0]->as.blobs.count;
  for (size_t i = 0; i < count; i++) {
    bbw_peer_id peer;
    assert_int_equal(bbw_peer_id_decode(&peer, call->outputs[0]->as.blobs.items[i], NULL), BBW_OK);
    assert_true(bbw_peer_id_as_u64(&peer, &out[i]));
  }
  return count;
}

static void begin_sample(component_call *call, int64_t n) {
  call_begin(call, BBW_ROLE_PEER_SELECTOR, "Sample", 1);
  onnx_attribute_int(&call->names, call->node, "n", n);
}

static void test_known_peers(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  const bbw_component_type *type = &bbw_known_peers_type;
  void *self;
  assert_int_equal(type->construct(&self, type, false, (bbw_bytes){NULL, 0}, &call.mem.mem, NULL), BBW_OK);
  uint64_t peers[64];
  call_begin(&call, BBW_ROLE_PEER_SELECTOR, "CurrentView", 1);
  assert_int_equal(call_run(&call, type, self), BBW_OK);
  assert_int_equal(peers_of(&call, peers), 0);
  begin_sample(&call, 2);
  assert_int_equal(call_run(&call, type, self), BBW_E_COMPONENT);
  assert_true(call_reason_is(&call, "empty"));
  know(&call, 1000); /* the node itself */
  for (uint64_t peer = 1; peer <= 5; peer++) { know(&call, peer); }
  call_begin(&call, BBW_ROLE_PEER_SELECTOR, "CurrentView", 1);
  assert_int_equal(call_run(&call, type, self), BBW_OK);
  assert_int_equal(peers_of(&call, peers), 5);
  for (size_t i = 0; i < 5; i++) { assert_int_equal(peers[i], i + 1); }
  size_t times[6] = {0};
  for (int draw = 0; draw < 500; draw++) {
    begin_sample(&call, 2);
    assert_int_equal(call_run(&call, type, self), BBW_OK);
    assert_int_equal(peers_of(&call, peers), 2);
    assert_true(peers[0] != peers[1]);
    times[peers[0]]++;
    times[peers[1]]++;
  }
  for (size_t peer = 1; peer <= 5; peer++) { assert_true(times[peer] > 140 && times[peer] < 260); } /* 200 each */
  call_begin(&call, BBW_ROLE_PEER_SELECTOR, "Sample", 1); /* the number as an input */
  bbw_value *n;
  assert_int_equal(bbw_value_new_plain(&n, BBW_TYPE_RAW_U32, 99, &call.mem.mem), BBW_OK);
  call_input(&call, 0, n);
  assert_int_equal(call_run(&call, type, self), BBW_OK);
  assert_int_equal(peers_of(&call, peers), 5);
  call_begin(&call, BBW_ROLE_PEER_SELECTOR, "Sample", 1);
  assert_int_equal(call_run(&call, type, self), BBW_E_COMPONENT);
  type->destroy(self, &call.mem.mem);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

static bool check_constant_view(vectors_case *c) {
  if (!vector_is(c, "constant_view")) { return vector_skip(c, "another module"); }
  size_t count = (size_t)json_u64(json_get(c->json, "peers"));
  const json *samples_list = json_get(c->json, "samples");
  for (size_t i = 0; i < json_count(samples_list); i++) {
    const json *one = json_at(samples_list, i), *want = json_get(one, "peers");
    bool is_chosen[64] = {false};
    size_t out[64];
    if (json_get(one, "error") != NULL) { continue; }
    VECTOR(count <= 64);
    size_t found = bbw_constant_view_sample(json_u64(json_get(c->json, "seed")), count,
                                            (size_t)json_u64(json_get(one, "n")), is_chosen, out);
    VECTOR(found == json_count(want));
    for (size_t k = 0; k < found; k++) { VECTOR(out[k] == json_u64(json_at(want, k))); }
  }
  return true;
}

static void test_constant_view_vectors(void **state) {
  (void)state;
  assert_int_equal(vectors_run("numeric", check_constant_view), 0);
}

static void test_constant_view_always_ends(void **state) {
  (void)state;
  for (uint64_t count = 1; count <= 40; count++) {
    bool is_chosen[40] = {false};
    size_t out[40];
    assert_int_equal(bbw_constant_view_sample(UINT64_MAX, (size_t)count, 1000, is_chosen, out), count); /* s stays 0 */
    for (size_t i = 0; i < count; i++) { assert_true(is_chosen[i]); }
  }
}

static void test_constant_view(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  const bbw_component_type *type = &bbw_constant_view_type;
  /* Peers 1, 2, 1, 3 and the seed 42. */
  uint8_t digests[4][BBW_PEER_ID_BYTES_MAX], config[256];
  bbw_bytes items[4];
  static const uint64_t numbers[] = {1, 2, 1, 3};
  for (size_t i = 0; i < 4; i++) {
    bbw_peer_id peer = bbw_peer_id_from_u64(numbers[i]);
    items[i] = (bbw_bytes){digests[i], bbw_peer_id_encode(&peer, digests[i])};
  }
  bbw_value *list;
  assert_int_equal(bbw_value_new_blobs(&list, BBW_TYPE_PEER_ID_VEC, items, 4, &call.mem.mem), BBW_OK);
  size_t len = bbw_value_payload_size(list);
  bbw_value_payload_write(list, config);
  bbw_store_u64le(config + len, 42);
  bbw_value_release(list, &call.mem.mem);
  void *self = NULL;
  bbw_error err;
  for (size_t cut = 0; cut < len + 8; cut++) { /* the seed may be left out; nothing else may */
    bbw_status rv = type->construct(&self, type, true, (bbw_bytes){config, cut}, &call.mem.mem, &err);
    assert_int_equal(rv, cut == len ? BBW_OK : BBW_E_INST_CONFIG_TYPE);
    if (rv == BBW_OK) { type->destroy(self, &call.mem.mem); }
  }
  assert_int_equal(type->construct(&self, type, true, (bbw_bytes){config, len + 8}, &call.mem.mem, &err), BBW_OK);
  uint64_t peers[8], again[8];
  call_begin(&call, BBW_ROLE_PEER_SELECTOR, "CurrentView", 1);
  assert_int_equal(call_run(&call, type, self), BBW_OK);
  assert_int_equal(peers_of(&call, peers), 3); /* each once */
  assert_true(peers[0] == 1 && peers[1] == 2 && peers[2] == 3);
  begin_sample(&call, 2);
  assert_int_equal(call_run(&call, type, self), BBW_OK);
  assert_int_equal(peers_of(&call, peers), 2);
  /* Its state is a configuration. */
  uint8_t *saved;
  size_t saved_len;
  assert_int_equal(type->save(self, &call.mem.mem, &saved, &saved_len), BBW_OK);
  void *other;
  assert_int_equal(type->construct(&other, type, false, (bbw_bytes){NULL, 0}, &call.mem.mem, &err), BBW_OK);
  begin_sample(&call, 2);
  assert_int_equal(call_run(&call, type, other), BBW_E_COMPONENT);
  assert_true(call_reason_is(&call, "empty"));
  assert_int_equal(type->restore(other, (bbw_bytes){saved, saved_len - 1}, &call.mem.mem, &err),
                   BBW_E_RESTORE_COMPONENT);
  assert_int_equal(type->restore(other, (bbw_bytes){saved, saved_len}, &call.mem.mem, &err), BBW_OK);
  begin_sample(&call, 2);
  assert_int_equal(call_run(&call, type, other), BBW_OK);
  assert_int_equal(peers_of(&call, again), 2);
  assert_true(again[0] == peers[0] && again[1] == peers[1]);
  call.mem.mem.free(call.mem.mem.ctx, saved, saved_len);
  type->destroy(other, &call.mem.mem);
  type->destroy(self, &call.mem.mem);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

/* A list of numbers, which no shipped component reads but one of a program's own may. */
static void test_an_attribute_with_a_list(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  call_begin(&call, BBW_ROLE_MODEL, "Train", 1);
  static const int64_t dims[] = {3, -1, 5};
  onnx_attribute_ints(&call.names, call.node, "dims", dims, 3);
  const int64_t *items = NULL;
  size_t count = 0;
  assert_true(bbw_ctx_attr_ints(&call.ctx, "dims", &items, &count));
  assert_int_equal(count, 3);
  assert_memory_equal(items, dims, sizeof(dims));
  component_call_free(&call);
}

static void test_shipped_types_are_complete(void **state) {
  (void)state;
  size_t count;
  const bbw_component_type *const *types = bbw_shipped_component_types(&count);
  assert_true(count >= 4);
  for (size_t i = 0; i < count; i++) {
    assert_non_null(types[i]->construct);
    assert_non_null(types[i]->destroy);
    assert_non_null(types[i]->dispatch);
    assert_non_null(types[i]->supports);
    assert_true(types[i]->role_bits != 0);
    for (size_t k = 0; k < i; k++) { assert_true(strcmp(types[i]->type_name, types[k]->type_name) != 0); }
  }
}

/* What a forward leaves for backward survives being saved, bit for bit. */
static void test_backward_follows_a_restored_forward(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  void *self = make_model(&call, onnx_small_network), *other = make_model(&call, onnx_small_network);
  float x[SAMPLES * 6], labels[SAMPLES], first[PARAMETERS], second[PARAMETERS];
  samples(x, labels);
  train(&call, self); /* other parameters than the file's */
  call_begin(&call, BBW_ROLE_MODEL, "Forward", 1);
  call_tensor(&call, 0, BBW_TYPE_CPU_TENSOR, "60 6", x, SAMPLES * 6);
  assert_int_equal(run(&call, self), BBW_OK);
  uint8_t *saved;
  size_t len;
  bbw_status rv = BBW_E_NOMEM;
  assert_int_equal(bbw_onnx_model_component.save(self, &call.mem.mem, &saved, &len), BBW_OK);
  for (size_t n = 0; rv != BBW_OK; n++) {
    const bbw_mem *mem = test_mem_fail_at(&call.mem, n);
    rv = bbw_onnx_model_component.restore(other, (bbw_bytes){saved, len}, mem, NULL);
    call.mem.fail_at = TEST_MEM_NEVER;
    assert_int_equal(rv, rv == BBW_OK ? BBW_OK : BBW_E_NOMEM);
  }
  for (size_t i = 0; i < 2; i++) {
    call_begin(&call, BBW_ROLE_MODEL, "Backward", 1);
    call_tensor(&call, 0, BBW_TYPE_CPU_TENSOR, "60 3", x, SAMPLES * 3);
    assert_int_equal(run(&call, i == 0 ? self : other), BBW_OK);
    memcpy(i == 0 ? first : second, call_output(&call, 0)->data, sizeof(first));
  }
  assert_int_equal(kernel_first_difference(first, second, PARAMETERS), PARAMETERS);
  call.mem.mem.free(call.mem.mem.ctx, saved, len);
  bbw_onnx_model_component.destroy(self, &call.mem.mem);
  bbw_onnx_model_component.destroy(other, &call.mem.mem);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_model_trains),
      cmocka_unit_test(test_a_step_from_single_operators),
      cmocka_unit_test(test_backward_follows_a_restored_forward),
      cmocka_unit_test(test_model_refuses),
      cmocka_unit_test(test_model_files_that_are_refused),
      cmocka_unit_test(test_known_peers),
      cmocka_unit_test(test_constant_view_vectors),
      cmocka_unit_test(test_constant_view_always_ends),
      cmocka_unit_test(test_constant_view),
      cmocka_unit_test(test_an_attribute_with_a_list),
      cmocka_unit_test(test_shipped_types_are_complete),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
