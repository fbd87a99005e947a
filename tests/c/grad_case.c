#include "grad_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "bbw/trainer.h"
#include "grad_forward.h"
#include "kernel_data.h"
#include "onnx/convert.h"
#include "test_mem.h"

static const char *const input_names[OP_CASE_ARRAYS] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
enum { OUTPUTS_MAX = 4, COVERED_MAX = 1000 };

static struct {
  const char *op;
  uint32_t input;
  bool is_second;
} covered[COVERED_MAX];
static size_t covered_count;

bool grad_case_has_covered(const char *op, uint32_t input, bool is_second) {
  for (size_t i = 0; i < covered_count; i++) {
    if (strcmp(covered[i].op, op) == 0 && covered[i].input == input && covered[i].is_second == is_second) {
      return true;
    }
  }
  return false;
}

void grad_case_cover(const char *op, uint32_t input, bool is_second) {
  if (grad_case_has_covered(op, input, is_second)) { return; }
  if (covered_count == COVERED_MAX) { abort(); }
  covered[covered_count].op = op;
  covered[covered_count].input = input;
  covered[covered_count++].is_second = is_second;
}

static bbw_str text(const char *s) { return (bbw_str){s, strlen(s)}; }

static void *get(bbw_arena *arena, size_t count, size_t size) {
  void *p = bbw_arena_array(arena, count + 1, size);
  if (p == NULL) { abort(); }
  return p;
}

/* The text with other sizes: every number above 1 stands for one of 3 to 6, the same number for the same one. */
static const char *resized(const char *s, uint32_t seed, bbw_arena *arena) {
  char *made = get(arena, strlen(s) + 1, 1);
  strcpy(made, s);
  for (char *at = strchr(made, '['); *at != ']'; at++) {
    if (*at >= '2' && *at <= '9') {
      float draws[10];
      kernel_fill(draws, 10, seed, 3.0f, 6.99f);
      *at = (char)('0' + (int)draws[*at - '0']);
    }
  }
  return made;
}

/* The array of a text; the seed makes each input of each case another one.  sizes: 0, or the seed of its shape. */
static bbw_array read_input(const char *s, uint32_t seed, uint32_t sizes, bbw_arena *arena) {
  static const struct {
    const char *name;
    float low, high;
  } kinds[] = {{"rand", -2.0f, 2.0f}, {"pos", 0.5f, 2.0f}, {"unit", -0.9f, 0.9f}, {"step", 0.0f, 1.0f}};
  size_t n = strcspn(s, "[");
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    if (strlen(kinds[i].name) != n || strncmp(kinds[i].name, s, n) != 0) { continue; }
    if (sizes != 0) { s = resized(s, sizes, arena); }
    char *as_f32 = get(arena, strlen(s) + 4, 1);
    strcpy(as_f32, "f32");
    strcat(as_f32, s + n);
    bbw_array a = op_text_array(as_f32, arena);
    float *x = a.data;
    kernel_fill(x, a.count, seed, kinds[i].low, kinds[i].high);
    if (i == 3) { /* a shuffled staircase */
      float *from = get(arena, a.count, sizeof *from);
      memcpy(from, x, a.count * sizeof *x);
      for (size_t k = 0; k < a.count; k++) {
        size_t rank = 0;
        for (size_t m = 0; m < a.count; m++) { rank += from[m] < from[k] || (from[m] == from[k] && m < k); }
        x[k] = 0.25f * ((float)rank - (float)(a.count / 2) + 0.5f);
      }
    }
    return a;
  }
  return op_text_array(s, arena);
}

static bool is_wanted(const grad_case *c, size_t i) { return strchr(c->wanted, (int)('a' + i)) != NULL; }

typedef struct built {
  bbw_array inputs[OP_CASE_ARRAYS]; /* f32, or whole numbers */
  size_t input_count;
  bbw_array factors[OUTPUTS_MAX]; /* of the results, in the shape of each */
  uint32_t outputs;
} built;

static void add_info(bbw_onnx_value_info *info, bbw_str name) { *info = (bbw_onnx_value_info){.name = name}; }

/*
 * The model of the case.  for_session: float inputs are inputs of the model, its outputs those of the node.  Else all inputs are initializers, and the output is the sum over the
 * results of mean(result * factors).
 */
static bbw_bytes build(const grad_case *c, const built *b, bool for_session, bbw_arena *arena) {
  enum { NODES_MAX = 1 + 4 * OUTPUTS_MAX };
  static const char *const
      results[OUTPUTS_MAX] = {"u", "v", "w", "x"},
      *const factors[OUTPUTS_MAX] = {"fu", "fv", "fw", "fx"}, *const products[OUTPUTS_MAX] = {"pu", "pv", "pw", "px"},
      *const means[OUTPUTS_MAX] = {"mu", "mv", "mw", "mx"}, *const sums[OUTPUTS_MAX] = {"su", "sv", "sw", "sx"};
  bbw_onnx_node *nodes = get(arena, NODES_MAX, sizeof *nodes);
  bbw_onnx_tensor *tensors = get(arena, OP_CASE_ARRAYS + OUTPUTS_MAX, sizeof *tensors);
  bbw_onnx_value_info *ins = get(arena, OP_CASE_ARRAYS, sizeof *ins), *outs = get(arena, OUTPUTS_MAX, sizeof *outs);
  bbw_str *names = get(arena, OP_CASE_ARRAYS, sizeof *names);
  size_t tensor_count = 0, in_count = 0, out_count = 0, node_count = 1;
  for (size_t i = 0; i < b->input_count; i++) {
    const bbw_array *a = &b->inputs[i];
    if (c->inputs[i][0] == '\0') { continue; }
    names[i] = text(input_names[i]);
    if (for_session && a->dtype == BBW_DTYPE_F32) {
      add_info(&ins[in_count++], names[i]);
    } else {
      op_text_tensor(&tensors[tensor_count++], input_names[i], a, arena);
    }
  }
  bbw_str *results_of_node = get(arena, OUTPUTS_MAX, sizeof *results_of_node);
  for (uint32_t o = 0; o < OUTPUTS_MAX; o++) { results_of_node[o] = text(results[o]); }
  nodes[0] = (bbw_onnx_node){.op_type = text(c->op),
                             .name = text("node"),
                             .input = {names, b->input_count},
                             .output = {results_of_node, c->named > b->outputs ? c->named : b->outputs},
                             .attribute = op_text_attributes(c->attributes, arena)};
  for (uint32_t o = 0; o < b->outputs; o++) {
    if (for_session) {
      add_info(&outs[out_count++], results_of_node[o]);
      continue;
    }
    op_text_tensor(&tensors[tensor_count++], factors[o], &b->factors[o], arena);
    bbw_str *io = get(arena, 6, sizeof *io);
    io[0] = text(results[o]);
    io[1] = text(factors[o]);
    io[2] = text(products[o]);
    io[3] = text(means[o]);
    nodes[node_count++] = (bbw_onnx_node){.op_type = text("Mul"), .input = {io, 2}, .output = {io + 2, 1}};
    bbw_str last = io[2];
    if (b->outputs > 1) {
      nodes[node_count++] = (bbw_onnx_node){.op_type = text("ReduceMean"),
                                            .input = {io + 2, 1},
                                            .output = {io + 3, 1},
                                            .attribute = op_text_attributes("keepdims=0", arena)};
      last = io[3];
    }
    if (o > 0) {
      io = get(arena, 3, sizeof *io);
      io[0] = o == 1 ? text(means[0]) : text(sums[o - 1]);
      io[1] = last;
      io[2] = text(sums[o]);
      nodes[node_count++] = (bbw_onnx_node){.op_type = text("Add"), .input = {io, 2}, .output = {io + 2, 1}};
      last = io[2];
    }
    if (o + 1 == b->outputs) { add_info(&outs[out_count++], last); }
  }
  bbw_onnx_opset *opset = get(arena, 1, sizeof *opset);
  opset->version = c->opset;
  bbw_onnx_graph graph = {.name = text("g"),
                          .node = {nodes, for_session ? 1 : node_count},
                          .input = {ins, in_count},
                          .output = {outs, out_count},
                          .initializer = {tensors, tensor_count}};
  bbw_onnx_model model = {.ir_version = 8, .graph = &graph, .opset_import = {opset, 1}};
  bbw_bytes bytes;
  if (bbw_proto_encode(&bytes, &model, &bbw_onnx_model_type, arena) != BBW_OK) { abort(); }
  return bytes;
}

static void say(const grad_case *c, bbw_status rv, const bbw_error *err) {
  bbw_str detail = bbw_error_field(err, "detail"), node = bbw_error_field(err, "op_type");
  bbw_str item = bbw_error_item(err, "nodes", 0);
  print_error("%s: %.*s %.*s: %.*s%.*s\n", c->name, (int)bbw_status_name(rv).len, bbw_status_name(rv).ptr,
              (int)node.len, node.ptr, (int)detail.len, detail.ptr, (int)item.len, item.ptr);
}

/* ---- values by a session ---- */

typedef struct forward {
  bbw_session *session;
  bbw_array inputs[OP_CASE_ARRAYS]; /* the float ones, as f64 or f32 */
  size_t count;
} forward;

static bbw_status run_forward(const forward *f, bbw_array *outputs, bbw_error *err) {
  return bbw_session_run(f->session, f->inputs, f->count, outputs, err);
}

static double loss_of(const grad_case *c, const built *b, const forward *f) {
  bbw_array outputs[OUTPUTS_MAX];
  bbw_error err;
  double loss = 0.0;
  bbw_status rv = run_forward(f, outputs, &err);
  if (rv != BBW_OK) { say(c, rv, &err); }
  assert_int_equal(rv, BBW_OK);
  for (uint32_t o = 0; o < b->outputs; o++) {
    double sum = 0.0;
    for (size_t i = 0; i < outputs[o].count; i++) {
      double y;
      bbw_load_f64(&outputs[o], i, 1, &y);
      sum += y * (double)((const float *)b->factors[o].data)[i];
    }
    loss += sum / (double)outputs[o].count;
  }
  return loss;
}

static void open_forward(const grad_case *c, const built *b, bbw_arena *arena, bbw_dtype dtype, forward *f) {
  bbw_error err;
  bbw_status rv = bbw_session_new(&f->session, build(c, b, true, arena), NULL, &bbw_mem_libc, &err);
  if (rv != BBW_OK) { say(c, rv, &err); }
  assert_int_equal(rv, BBW_OK);
  f->count = 0;
  for (size_t i = 0; i < b->input_count; i++) {
    if (c->inputs[i][0] == '\0' || b->inputs[i].dtype != BBW_DTYPE_F32) { continue; }
    bbw_array *a = &f->inputs[f->count++];
    *a = b->inputs[i];
    a->dtype = dtype;
    a->data = get(arena, a->count, sizeof(double));
    for (size_t k = 0; k < a->count; k++) {
      double x = (double)((const float *)b->inputs[i].data)[k];
      bbw_store_f64(a, k, 1, &x);
    }
  }
}

static double difference(const grad_case *c, const built *b, const forward *f, bbw_array *a, size_t k, double step) {
  double x, moved, losses[2];
  bbw_load_f64(a, k, 1, &x);
  for (int side = 0; side < 2; side++) {
    moved = side == 0 ? x - step : x + step;
    bbw_store_f64(a, k, 1, &moved);
    losses[side] = loss_of(c, b, f);
  }
  bbw_store_f64(a, k, 1, &x);
  return (losses[1] - losses[0]) / (2.0 * step);
}

/* ---- the second derivation: <v, J u> = <J^T v, u> ---- */

/* Results as f64, and what comes of them with another input in the place of one. */
static void results_of(const grad_case *c, const built *b, const forward *f, double **to) {
  bbw_array outputs[OUTPUTS_MAX];
  bbw_error err = {0};
  bbw_status rv = run_forward(f, outputs, &err);
  if (rv != BBW_OK) { say(c, rv, &err); }
  assert_int_equal(rv, BBW_OK);
  for (uint32_t o = 0; o < b->outputs; o++) { bbw_load_f64(&outputs[o], 0, outputs[o].count, to[o]); }
}

/* An operator that is affine in each input alone: the sum over the inputs of f(.., u, ..) - f(.., 0, ..). */
static void derive_affine(const grad_case *c, const built *b, const forward *f, forward_call *call, bbw_arena *arena) {
  double *with[OUTPUTS_MAX], *without[OUTPUTS_MAX];
  size_t at = 0;
  for (uint32_t o = 0; o < b->outputs; o++) {
    with[o] = get(arena, call->out[o].count, sizeof(double));
    without[o] = get(arena, call->out[o].count, sizeof(double));
  }
  for (size_t i = 0; i < b->input_count; i++) {
    if (c->inputs[i][0] == '\0' || b->inputs[i].dtype != BBW_DTYPE_F32) { continue; }
    const bbw_array *a = &f->inputs[at++];
    if (!is_wanted(c, i)) { continue; }
    double *kept = get(arena, a->count, sizeof *kept), *moved = get(arena, a->count, sizeof *moved);
    bbw_load_f64(a, 0, a->count, kept);
    bbw_array target = *a;
    for (size_t k = 0; k < a->count; k++) { moved[k] = 0.0; }
    bbw_store_f64(&target, 0, a->count, moved);
    results_of(c, b, f, without);
    for (size_t k = 0; k < a->count; k++) { moved[k] = call->in[i].at[k].d; }
    bbw_store_f64(&target, 0, a->count, moved);
    results_of(c, b, f, with);
    bbw_store_f64(&target, 0, a->count, kept);
    for (uint32_t o = 0; o < b->outputs; o++) {
      for (size_t k = 0; k < call->out[o].count; k++) { call->out[o].at[k].d += with[o][k] - without[o][k]; }
    }
  }
}

/* gradient: where each input's numbers start in it, SIZE_MAX for those that are not wanted. */
static void check_second(const grad_case *c, const built *b, const forward *f, const float *gradient,
                         const size_t *starts, uint32_t seed, bbw_arena *arena) {
  forward_call call = {.op = c->op,
                       .opset = c->opset,
                       .attributes = op_text_attributes(c->attributes, arena),
                       .input_count = b->input_count,
                       .output_count = b->outputs,
                       .arena = arena};
  double backward = 0.0, scale = 1e-4;
  for (size_t i = 0; i < b->input_count; i++) {
    const bbw_array *a = &b->inputs[i];
    if (c->inputs[i][0] == '\0') { continue; }
    call.in[i] = (dual_array){.is_there = true, .rank = a->rank, .dims = a->dims, .count = a->count, .wholes = a};
    if (a->dtype != BBW_DTYPE_F32) { continue; }
    float *u = get(arena, a->count, sizeof *u);
    call.in[i].at = get(arena, a->count, sizeof(dual));
    kernel_fill(u, a->count, seed * 16 + 5 + (uint32_t)i, -1.0f, 1.0f);
    for (size_t k = 0; k < a->count; k++) {
      u[k] = roundf(u[k] * 8.0f) / 8.0f; /* so that f32 takes part without rounding */
      bool is = starts[i] != SIZE_MAX;
      call.in[i].at[k] = (dual){(double)((const float *)a->data)[k], is ? (double)u[k] : 0.0};
      double part = is ? (double)gradient[starts[i] + k] * (double)u[k] : 0.0;
      backward += part;
      scale += fabs(part);
    }
  }
  for (uint32_t o = 0; o < b->outputs; o++) {
    const bbw_array *v = &b->factors[o];
    call.out[o] = (dual_array){.is_there = true, .rank = v->rank, .dims = v->dims, .count = v->count};
    call.out[o].at = get(arena, v->count, sizeof(dual));
  }
  forward_rule rule = forward_derive(&call);
  if (rule == FORWARD_NONE) { print_error("%s: there is no second derivation of %s\n", c->name, c->op); }
  assert_int_not_equal(rule, FORWARD_NONE);
  if (rule == FORWARD_AFFINE) { derive_affine(c, b, f, &call, arena); }
  double ahead = 0.0;
  for (uint32_t o = 0; o < b->outputs; o++) {
    for (size_t k = 0; k < call.out[o].count; k++) {
      ahead += (double)((const float *)b->factors[o].data)[k] * call.out[o].at[k].d / (double)call.out[o].count;
    }
  }
  if (!(fabs(ahead - backward) <= 1e-5 * scale)) {
    print_error("%s: <J^T v, u> is %.12g, <v, J u> is %.12g\n", c->name, backward, ahead);
  }
  assert_true(fabs(ahead - backward) <= 1e-5 * scale);
  for (size_t i = 0; i < b->input_count; i++) {
    if (starts[i] != SIZE_MAX) { grad_case_cover(c->op, (uint32_t)i, true); }
  }
}

/* ---- the check ---- */

static bbw_status gradient_of(bbw_bytes model, const bbw_trainer_options *options, const bbw_mem *mem, float *gradient,
                              size_t *count, bbw_trainer_parameter *parameters, char names[][2], bbw_error *err) {
  bbw_trainer *t = NULL;
  double loss;
  bbw_status rv = bbw_trainer_new(&t, model, options, mem, err);
  if (rv == BBW_OK) { rv = bbw_trainer_gradient(t, NULL, 0, NULL, &loss, gradient, err); }
  if (rv == BBW_OK) {
    *count = bbw_trainer_parameter_count(t);
    for (size_t i = 0; i < *count; i++) {
      parameters[i] = bbw_trainer_parameter_at(t, i);
      names[i][0] = parameters[i].name.ptr[0];
    }
  }
  bbw_trainer_del(t);
  return rv;
}

static void check(const grad_case *c, uint32_t seed, bool is_resized) {
  bbw_arena arena;
  bbw_error err = {0};
  built b = {.outputs = c->outputs != 0 ? c->outputs : 1};
  forward f = {0};
  bbw_array outputs[OUTPUTS_MAX];
  bbw_arena_init(&arena, &bbw_mem_libc);
  for (; b.input_count < OP_CASE_ARRAYS && c->inputs[b.input_count] != NULL; b.input_count++) {
    if (c->inputs[b.input_count][0] == '\0') { continue; }
    b.inputs[b.input_count] = read_input(c->inputs[b.input_count], seed * 16 + (uint32_t)b.input_count,
                                         is_resized ? seed : 0, &arena);
  }
  open_forward(c, &b, &arena, c->is_f32 ? BBW_DTYPE_F32 : BBW_DTYPE_F64, &f);
  bbw_status rv = run_forward(&f, outputs, &err);
  if (rv != BBW_OK) { say(c, rv, &err); }
  assert_int_equal(rv, BBW_OK);
  for (uint32_t o = 0; o < b.outputs; o++) {
    b.factors[o] = outputs[o];
    b.factors[o].dtype = BBW_DTYPE_F32;
    float *r = b.factors[o].data = get(&arena, outputs[o].count, sizeof(float));
    kernel_fill(r, outputs[o].count, seed * 16 + 9 + o, -1.0f, 1.0f);
    for (size_t i = 0; i < outputs[o].count; i++) { r[i] = roundf(r[i] * 8.0f) / 8.0f; }
  }
  /* Everything but what is wanted is frozen. */
  bbw_str freeze[OP_CASE_ARRAYS + OUTPUTS_MAX];
  static const char *const factors[OUTPUTS_MAX] = {"fu", "fv", "fw", "fx"};
  bbw_trainer_options options = {.loss = BBW_TRAINER_OUTPUT, .rate = 1.0f, .freeze = freeze};
  for (size_t i = 0; i < b.input_count; i++) {
    if (c->inputs[i][0] != '\0' && !is_wanted(c, i)) { freeze[options.freeze_count++] = text(input_names[i]); }
  }
  for (uint32_t o = 0; o < b.outputs; o++) { freeze[options.freeze_count++] = text(factors[o]); }
  size_t total = 1, count = 0;
  for (size_t i = 0; i < b.input_count; i++) { total += b.inputs[i].count; }
  float *gradient = get(&arena, total, sizeof *gradient);
  bbw_trainer_parameter parameters[OP_CASE_ARRAYS];
  char names[OP_CASE_ARRAYS][2] = {{0}};
  bbw_bytes model = build(c, &b, false, &arena);
  rv = gradient_of(model, &options, &bbw_mem_libc, gradient, &count, parameters, names, &err);
  if (c->refused != NULL) {
    bbw_str detail = bbw_error_field(&err, "detail"), node = bbw_error_field(&err, "node");
    bool is_said = rv == BBW_E_ONNX_UNSUPPORTED || rv == BBW_E_ONNX_INVALID;
    is_said = is_said && bbw_str_equal(node, text("node"));
    if (!is_said ||
        strstr((const char *)memcpy(get(&arena, detail.len, 1), detail.ptr, detail.len), c->refused) == NULL) {
      say(c, rv, &err);
      fail();
    }
    bbw_session_del(f.session);
    bbw_arena_free(&arena);
    return;
  }
  if (rv != BBW_OK) { say(c, rv, &err); }
  assert_int_equal(rv, BBW_OK);
  size_t wrong = 0, found = 0, starts[OP_CASE_ARRAYS];
  for (size_t i = 0; i < OP_CASE_ARRAYS; i++) { starts[i] = SIZE_MAX; }
  for (size_t p = 0; p < count; p++) {
    size_t which = (size_t)(names[p][0] - 'a'), at = 0;
    assert_true(is_wanted(c, which));
    for (size_t i = 0; i < which; i++) { at += c->inputs[i][0] != '\0' && b.inputs[i].dtype == BBW_DTYPE_F32; }
    const float *got = gradient + parameters[p].offset;
    double *want = get(&arena, parameters[p].count, sizeof *want), largest = 1e-3;
    for (size_t k = 0; k < parameters[p].count; k++) {
      want[k] = difference(c, &b, &f, &f.inputs[at], k, c->is_f32 ? 0.0625 : 1e-5);
      if (fabs(want[k]) > largest) { largest = fabs(want[k]); }
    }
    double tolerance = (c->tolerance != 0.0f ? (double)c->tolerance : 2e-5) * largest;
    for (size_t k = 0; k < parameters[p].count; k++) {
      if (!(fabs((double)got[k] - want[k]) <= tolerance)) {
        print_error("%s: gradient of %s[%zu] is %.9g, the differences say %.9g\n", c->name, names[p], k, (double)got[k],
                    want[k]);
        wrong++;
      }
    }
    found++;
    starts[which] = parameters[p].offset;
    grad_case_cover(c->op, (uint32_t)which, false);
  }
  assert_int_equal(found, strlen(c->wanted));
  assert_int_equal(wrong, 0);
  check_second(c, &b, &f, gradient, starts, seed, &arena);
  bbw_session_del(f.session);
  /* Every allocation fails once. */
  test_mem mem;
  test_mem_init(&mem);
  for (size_t nth = 0; nth < 100000 && !is_resized; nth++) {
    rv = gradient_of(model, &options, test_mem_fail_at(&mem, nth), gradient, &count, parameters, names, &err);
    assert_int_equal(mem.live_bytes, 0);
    if (mem.alloc_count <= nth) { break; }
    assert_int_equal(rv, BBW_E_NOMEM);
  }
  assert_int_equal(rv, BBW_OK);
  bbw_arena_free(&arena);
}

void grad_cases_check(const grad_case *cases, size_t count) {
  for (size_t i = 0; i < count; i++) {
    for (uint32_t seed = 0; seed < 2; seed++) { check(&cases[i], (uint32_t)i * 2 + seed + 1, false); }
  }
}

void grad_cases_check_sizes(const grad_case *cases, size_t count) {
  grad_cases_check(cases, count);
  for (size_t i = 0; i < count; i++) {
    for (uint32_t seed = 0; seed < 4; seed++) { check(&cases[i], 1000 + (uint32_t)i * 4 + seed, true); }
  }
}
