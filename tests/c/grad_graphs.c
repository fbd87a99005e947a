#include "grad_graphs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "base/bytes.h"
#include "bbw/trainer.h"
#include "grad_case.h"
#include "grad_forward.h"
#include "kernel_data.h"
#include "onnx_build.h"
#include "test_mem.h"

enum { PARAMETERS_MAX = 32, BODIES_MAX = 4 };

/* ---- dual numbers ---- */

static dual num(double v) { return (dual){v, 0.0}; }
static dual add(dual a, dual b) { return (dual){a.v + b.v, a.d + b.d}; }
static dual sub(dual a, dual b) { return (dual){a.v - b.v, a.d - b.d}; }
static dual mul(dual a, dual b) { return (dual){a.v * b.v, a.d * b.v + a.v * b.d}; }
static dual hyper(dual a) { return (dual){tanh(a.v), a.d * (1.0 - tanh(a.v) * tanh(a.v))}; }
static dual sine(dual a) { return (dual){sin(a.v), a.d * cos(a.v)}; }

/* ---- models ---- */

/* Two numbers each: a, b, c, d; four steps of two: x.  All of a model's parameters, in this order, as far as it has them. */
static void weights(onnx_file *f, const char *names) {
  static const char *const words[] = {"a", "b", "c", "d", "x"};
  for (uint32_t i = 0; i < 5; i++) {
    if (strchr(names, words[i][0]) != NULL) { onnx_weights(f, words[i], i == 4 ? "4 2" : "2", 7 + i, 0.9f, true); }
  }
}

static void number(onnx_file *f, const char *name, float value) { onnx_floats(f, name, "1", &value, 1); }

/* if x > 0: tanh(a b) + c, else a sin(b); then times b.  Only one branch takes c. */
static void choice(onnx_file *f, onnx_file *bodies, bool is_first) {
  weights(f, "abc");
  number(f, "sign", is_first ? 1.0f : -1.0f);
  number(f, "zero", 0.0f);
  onnx_node(f, "Greater", "greater", "sign zero", "is");
  bbw_onnx_node *node = onnx_node(f, "If", "choice", "is", "chosen");
  onnx_node(&bodies[0], "Mul", "mul", "a b", "m");
  onnx_node(&bodies[0], "Tanh", "tanh", "m", "t");
  onnx_node(&bodies[0], "Add", "add", "t c", "r");
  onnx_output(&bodies[0], "r");
  onnx_node(&bodies[1], "Sin", "sin", "b", "s");
  onnx_node(&bodies[1], "Mul", "mul", "a s", "q");
  onnx_output(&bodies[1], "q");
  onnx_attribute_graph(f, node, "then_branch", &bodies[0]);
  onnx_attribute_graph(f, node, "else_branch", &bodies[1]);
  onnx_node(f, "Mul", "out", "chosen b", "y");
}
static void first_branch(onnx_file *f, onnx_file *bodies) { choice(f, bodies, true); }
static void other_branch(onnx_file *f, onnx_file *bodies) { choice(f, bodies, false); }
static dual first_branch_of(const dual *p) {
  dual sum = num(0.0);
  for (size_t i = 0; i < 2; i++) { sum = add(sum, mul(add(hyper(mul(p[i], p[2 + i])), p[4 + i]), p[2 + i])); }
  return mul(sum, num(0.5));
}
static dual other_branch_of(const dual *p) {
  dual sum = num(0.0);
  for (size_t i = 0; i < 2; i++) { sum = add(sum, mul(mul(p[i], sine(p[2 + i])), p[2 + i])); }
  return mul(sum, num(0.5));
}

/* A small recurrent network: h = tanh(x a + h b), out of each step h c, from h = d on; the loss reads all outputs and the last h. */
static void recurrent_body(onnx_file *body) {
  onnx_input(body, "h", "2");
  onnx_input(body, "row", "2");
  onnx_node(body, "Mul", "in", "row a", "p");
  onnx_node(body, "Mul", "again", "h b", "q");
  onnx_node(body, "Add", "sum", "p q", "s");
  onnx_node(body, "Tanh", "tanh", "s", "next");
  onnx_node(body, "Mul", "out", "next c", "o");
  onnx_output(body, "next");
  onnx_output(body, "o");
}
static void recurrent(onnx_file *f, onnx_file *body, int64_t in, int64_t out, int64_t axis) {
  weights(f, "abcdx");
  recurrent_body(body);
  if (axis == 1) { onnx_node(f, "Transpose", "turn", "x", "turned"); }
  bbw_onnx_node *node = onnx_node(f, "Scan", "scan", axis == 1 ? "d turned" : "d x", "last rows");
  onnx_attribute_graph(f, node, "body", body);
  onnx_attribute_int(f, node, "num_scan_inputs", 1);
  int64_t *lists = bbw_arena_array(&f->arena, 3, sizeof *lists);
  lists[0] = in;
  lists[1] = out;
  lists[2] = axis;
  onnx_attribute_ints(f, node, "scan_input_directions", lists, 1);
  onnx_attribute_ints(f, node, "scan_output_directions", lists + 1, 1);
  onnx_attribute_ints(f, node, "scan_input_axes", lists + 2, 1);
  onnx_attribute_ints(f, node, "scan_output_axes", lists + 2, 1);
  if (axis == 1) { onnx_node(f, "Transpose", "back", "rows", "straight"); }
  onnx_floats(f, "places", "4 2", (const float[]){1, 2, -1, 3, 0.5f, -2, 1.5f, 1}, 8);
  onnx_node(f, "Mul", "weigh", axis == 1 ? "straight places" : "rows places", "weighed");
  onnx_node(f, "Add", "both", "weighed last", "y");
}
static dual recurrent_of(const dual *p, bool is_back, bool stores_back) {
  static const double places[] = {1, 2, -1, 3, 0.5, -2, 1.5, 1};
  dual h[2] = {p[6], p[7]}, sum = num(0.0);
  for (size_t t = 0; t < 4; t++) {
    size_t row = is_back ? 3 - t : t, to = stores_back ? 3 - t : t;
    for (size_t i = 0; i < 2; i++) {
      h[i] = hyper(add(mul(p[8 + 2 * row + i], p[i]), mul(h[i], p[2 + i])));
      sum = add(sum, mul(mul(h[i], p[4 + i]), num(places[2 * to + i])));
    }
  }
  for (size_t i = 0; i < 2; i++) { sum = add(sum, mul(num(4.0), h[i])); }
  return mul(sum, num(0.125));
}
static void scan_forward(onnx_file *f, onnx_file *bodies) { recurrent(f, bodies, 0, 0, 0); }
static void scan_back(onnx_file *f, onnx_file *bodies) { recurrent(f, bodies, 1, 0, 0); }
static void scan_columns(onnx_file *f, onnx_file *bodies) { recurrent(f, bodies, 1, 1, 1); }
static dual scan_forward_of(const dual *p) { return recurrent_of(p, false, false); }
static dual scan_back_of(const dual *p) { return recurrent_of(p, true, false); }
static dual scan_columns_of(const dual *p) { return recurrent_of(p, true, true); }

/* s = sin(s a) + i b, n + 1 with no gradient, out of each step s c; from s = d on.  Ends by its count, or by its condition. */
static void loop(onnx_file *f, onnx_file *body, int64_t count, float limit) {
  weights(f, "abcd");
  int64_t *numbers = bbw_arena_array(&f->arena, 1, sizeof *numbers);
  numbers[0] = count;
  onnx_ints(f, "count", numbers, 1);
  number(f, "none", 0.0f);
  onnx_input_of_type(body, "i", "", 7);
  onnx_input_of_type(body, "goes", "", 9);
  onnx_input(body, "s", "2");
  onnx_input(body, "n", "1");
  onnx_node(body, "CastLike", "cast", "i n", "real");
  onnx_node(body, "Mul", "step", "b real", "moved");
  onnx_node(body, "Mul", "scale", "s a", "scaled");
  onnx_node(body, "Sin", "sin", "scaled", "turned");
  onnx_node(body, "Add", "sum", "turned moved", "next");
  number(body, "one", 1.0f);
  number(body, "limit", limit);
  onnx_node(body, "Add", "count_up", "n one", "more");
  onnx_node(body, "Less", "less", "more limit", "on");
  onnx_node(body, "Mul", "out", "next c", "o");
  onnx_output(body, "on");
  onnx_output(body, "next");
  onnx_output(body, "more");
  onnx_output(body, "o");
  bbw_onnx_node *node = onnx_node(f, "Loop", "loop", "count - d none", "last times rows");
  onnx_attribute_graph(f, node, "body", body);
  int64_t *axes = bbw_arena_array(&f->arena, 1, sizeof *axes);
  axes[0] = 0;
  onnx_ints(f, "axes", axes, 1);
  onnx_node(f, "ReduceSum", "reduce", "rows axes", "r");
  onnx_node(f, "Add", "both", "r last", "y");
}
static dual loop_of(const dual *p, size_t steps) {
  dual s[2] = {p[6], p[7]}, sum = num(0.0);
  for (size_t t = 0; t < steps; t++) {
    for (size_t i = 0; i < 2; i++) {
      s[i] = add(sine(mul(s[i], p[i])), mul(num((double)t), p[2 + i]));
      sum = add(sum, mul(s[i], p[4 + i]));
    }
  }
  return mul(add(sum, add(s[0], s[1])), num(0.5));
}
static void loop_counted(onnx_file *f, onnx_file *bodies) { loop(f, bodies, 3, 100.0f); }
static void loop_until(onnx_file *f, onnx_file *bodies) { loop(f, bodies, 1000, 5.0f); }
static dual loop_counted_of(const dual *p) { return loop_of(p, 3); }
static dual loop_until_of(const dual *p) { return loop_of(p, 5); }

/* A loop that is not entered gives what it was given; what it would have captured is read elsewhere, so that it has a gradient. */
static void loop_of_none(onnx_file *f, onnx_file *body) {
  weights(f, "ad");
  onnx_ints(f, "count", (const int64_t[]){0}, 1);
  f->initializers[f->initializer_count - 1].int64_data.items = bbw_arena_array(&f->arena, 1, sizeof(int64_t));
  onnx_input_of_type(body, "i", "", 7);
  onnx_input_of_type(body, "goes", "", 9);
  onnx_input(body, "s", "2");
  body->inputs[2] = (bbw_onnx_value_info){.name = BBW_STR("s")}; /* of no declared type */
  onnx_node(body, "Mul", "scale", "s a", "next");
  onnx_node(body, "Identity", "same", "goes", "on");
  onnx_output(body, "on");
  onnx_output(body, "next");
  bbw_onnx_node *node = onnx_node(f, "Loop", "loop", "count - d", "last");
  onnx_attribute_graph(f, node, "body", body);
  onnx_node(f, "Sin", "sin", "a", "t");
  onnx_node(f, "Mul", "both", "last t", "y");
}
static dual loop_of_none_of(const dual *p) { return mul(add(mul(p[2], sine(p[0])), mul(p[3], sine(p[1]))), num(0.5)); }

/* A Scan whose body has an If whose branches take in what is outside of both: s = tanh(s a) where the row's sum is below 0, else s - row b. */
static void nested(onnx_file *f, onnx_file *bodies) {
  weights(f, "abdx");
  onnx_file *body = &bodies[0], *yes = &bodies[1], *no = &bodies[2];
  onnx_node(yes, "Mul", "scale", "s a", "m");
  onnx_node(yes, "Tanh", "tanh", "m", "t");
  onnx_output(yes, "t");
  onnx_node(no, "Mul", "step", "row b", "r");
  onnx_node(no, "Sub", "sub", "s r", "w");
  onnx_output(no, "w");
  onnx_input(body, "s", "2");
  onnx_input(body, "row", "2");
  number(body, "zero", 0.0f);
  onnx_node(body, "ReduceSum", "total", "row", "all");
  onnx_node(body, "Less", "less", "all zero", "is");
  onnx_node(body, "Squeeze", "squeeze", "is", "is0");
  bbw_onnx_node *choose = onnx_node(body, "If", "choose", "is0", "next");
  onnx_attribute_graph(body, choose, "then_branch", yes);
  onnx_attribute_graph(body, choose, "else_branch", no);
  onnx_output(body, "next");
  bbw_onnx_node *node = onnx_node(f, "Scan", "scan", "d x", "y");
  onnx_attribute_graph(f, node, "body", body);
  onnx_attribute_int(f, node, "num_scan_inputs", 1);
}
static dual nested_of(const dual *p) {
  dual s[2] = {p[4], p[5]};
  for (size_t t = 0; t < 4; t++) {
    const dual *row = p + 6 + 2 * t;
    bool is_below = row[0].v + row[1].v < 0.0;
    for (size_t i = 0; i < 2; i++) { s[i] = is_below ? hyper(mul(s[i], p[i])) : sub(s[i], mul(row[i], p[2 + i])); }
  }
  return mul(add(s[0], s[1]), num(0.5));
}

/* A Scan over rows of which there are none: what is carried passes, the rows get a gradient of no numbers. */
static void scan_of_none(onnx_file *f, onnx_file *body) {
  weights(f, "abcdx");
  static const int64_t zero[] = {0};
  recurrent_body(body);
  onnx_ints(f, "starts", zero, 1);
  onnx_ints(f, "ends", zero, 1);
  onnx_node(f, "Slice", "cut", "x starts ends", "none");
  bbw_onnx_node *node = onnx_node(f, "Scan", "scan", "d none", "last rows");
  onnx_attribute_graph(f, node, "body", body);
  onnx_attribute_int(f, node, "num_scan_inputs", 1);
  onnx_node(f, "Sin", "sin", "a", "sa");
  onnx_node(f, "Mul", "am", "sa last", "r1");
  onnx_node(f, "Mul", "bm", "b c", "r2");
  onnx_node(f, "Add", "a1", "r1 r2", "r3");
  onnx_ints(f, "axes", zero, 1);
  onnx_node(f, "ReduceSum", "rs", "x axes", "r4");
  onnx_node(f, "ReduceSum", "rs2", "rows axes", "r5");
  onnx_node(f, "Add", "a2", "r3 r4", "r6");
  onnx_node(f, "Add", "a3", "r5 r6", "y");
}
static dual scan_of_none_of(const dual *p) {
  dual sum = num(0.0);
  for (size_t i = 0; i < 2; i++) {
    sum = add(sum, add(mul(sine(p[i]), p[6 + i]), mul(p[2 + i], p[4 + i])));
    for (size_t t = 0; t < 4; t++) { sum = add(sum, p[8 + 2 * t + i]); }
  }
  return mul(sum, num(0.5));
}

/* Carried values change places in each round, one of them is an outer value that is captured too; another is the input of the body itself. */
static void loop_of_swaps(onnx_file *f, onnx_file *bodies) {
  onnx_file *body = &bodies[0], *inner = &bodies[1];
  weights(f, "abcd");
  static const int64_t zero[] = {0}, two[] = {2}, three[] = {3};
  onnx_ints(f, "count", three, 1);
  onnx_ints(f, "two", two, 1);
  onnx_input_of_type(body, "i", "", 7);
  onnx_input_of_type(body, "goes", "", 9);
  onnx_input(body, "s", "2");
  onnx_input(body, "u", "2");
  onnx_input_of_type(inner, "i2", "", 7);
  onnx_input_of_type(inner, "goes2", "", 9);
  onnx_input(inner, "v", "2");
  onnx_node(inner, "Mul", "m1", "v a", "va");
  onnx_node(inner, "Mul", "m2", "va s", "vas");
  onnx_node(inner, "Add", "m3", "vas c", "vasc");
  onnx_node(inner, "Tanh", "m4", "vasc", "vn");
  onnx_output(inner, "goes2");
  onnx_output(inner, "vn");
  onnx_output(inner, "vas");
  bbw_onnx_node *in = onnx_node(body, "Loop", "inner", "two - u", "lastv rowsv");
  onnx_attribute_graph(body, in, "body", inner);
  onnx_ints(body, "axes", zero, 1);
  onnx_node(body, "ReduceSum", "rs", "rowsv axes", "rv0");
  onnx_node(body, "Squeeze", "sq", "rv0 axes", "rv");
  onnx_node(body, "Add", "q", "rv lastv", "nexts");
  onnx_output(body, "goes");
  onnx_output(body, "nexts");
  onnx_output(body, "s"); /* u = s */
  onnx_output(body, "a"); /* an outer value as a row */
  bbw_onnx_node *node = onnx_node(f, "Loop", "loop", "count - a d", "last1 last2 rows");
  onnx_attribute_graph(f, node, "body", body);
  onnx_ints(f, "axes", zero, 1);
  onnx_node(f, "ReduceSum", "rs1", "rows axes", "t1");
  onnx_node(f, "Mul", "x1", "t1 last2", "t3");
  onnx_node(f, "Mul", "x2", "last1 b", "t4");
  onnx_node(f, "Add", "x3", "t3 t4", "t5");
  onnx_node(f, "Add", "x4", "t5 last2", "y");
}
static dual loop_of_swaps_of(const dual *p) {
  dual sum = num(0.0);
  for (size_t i = 0; i < 2; i++) {
    dual a = p[i], b = p[2 + i], c = p[4 + i], s = p[i], u = p[6 + i], rows = num(0.0);
    for (int t = 0; t < 3; t++) {
      dual v = u, rv = num(0.0);
      for (int k = 0; k < 2; k++) {
        dual vas = mul(mul(v, a), s);
        rv = add(rv, vas);
        v = hyper(add(vas, c));
      }
      rows = add(rows, a);
      u = s;
      s = add(rv, v);
    }
    sum = add(sum, add(add(mul(rows, u), mul(s, b)), u));
  }
  return mul(sum, num(0.5));
}

static const struct {
  const char *name, *op;
  void (*write)(onnx_file *f, onnx_file *bodies);
  dual (*loss)(const dual *parameters);
  const char *freeze[2]; /* numbers that are no parameters */
} cases[] = {
    {"If takes its first branch", "If", first_branch, first_branch_of, {"sign", "zero"}},
    {"If takes its other branch", "If", other_branch, other_branch_of, {"sign", "zero"}},
    {"Scan", "Scan", scan_forward, scan_forward_of, {"places", NULL}},
    {"Scan from the end", "Scan", scan_back, scan_back_of, {"places", NULL}},
    {"Scan of columns, from the end and to the front", "Scan", scan_columns, scan_columns_of, {"places", NULL}},
    {"Loop of a count, with a value that has no gradient", "Loop", loop_counted, loop_counted_of, {"none", NULL}},
    {"Loop until its condition fails", "Loop", loop_until, loop_until_of, {"none", NULL}},
    {"Loop that is not entered", "Loop", loop_of_none, loop_of_none_of, {NULL, NULL}},
    {"Scan of no rows", "Scan", scan_of_none, scan_of_none_of, {NULL, NULL}},
    {"Loop inside of Loop, values that change places, an outer value as a row",
     "Loop",
     loop_of_swaps,
     loop_of_swaps_of,
     {NULL, NULL}},
    {"If inside of Scan", "Scan", nested, nested_of, {NULL, NULL}},
};

typedef struct written {
  onnx_file file, bodies[BODIES_MAX];
} written;

static bbw_bytes write_model(written *w, void (*write)(onnx_file *f, onnx_file *bodies)) {
  onnx_file_init(&w->file);
  for (size_t i = 0; i < BODIES_MAX; i++) { onnx_file_init(&w->bodies[i]); }
  write(&w->file, w->bodies);
  onnx_output(&w->file, "y");
  return onnx_bytes(&w->file);
}

static void free_model(written *w) {
  onnx_file_free(&w->file);
  for (size_t i = 0; i < BODIES_MAX; i++) { onnx_file_free(&w->bodies[i]); }
}

static bbw_trainer_options options_of(size_t index, bbw_str *freeze) {
  bbw_trainer_options options = {.loss = BBW_TRAINER_OUTPUT, .rate = 0.1f, .freeze = freeze};
  for (size_t i = 0; i < 2; i++) {
    const char *name = cases[index].freeze[i];
    if (name != NULL) { freeze[options.freeze_count++] = (bbw_str){name, strlen(name)}; }
  }
  return options;
}

static void say_refused(const char *name, bbw_status rv, const bbw_error *err) {
  bbw_str status = bbw_status_name(rv), detail = bbw_error_field(err, "detail"), node = bbw_error_field(err, "node");
  print_error("%s: %.*s at %.*s: %.*s\n", name, (int)status.len, status.ptr, (int)node.len, node.ptr, (int)detail.len,
              detail.ptr);
}

static double loss_at(bbw_trainer *t, const float *values, size_t count, const char *name) {
  float unused[PARAMETERS_MAX];
  double loss;
  bbw_error err;
  assert_int_equal(bbw_trainer_load(t, values, count, NULL), BBW_OK);
  bbw_status rv = bbw_trainer_gradient(t, NULL, 0, NULL, &loss, unused, &err);
  if (rv != BBW_OK) { say_refused(name, rv, &err); }
  assert_int_equal(rv, BBW_OK);
  return loss;
}

static void check_case(size_t index) {
  const char *name = cases[index].name;
  written w;
  bbw_str freeze[2];
  bbw_trainer *t;
  bbw_error err;
  bbw_bytes model = write_model(&w, cases[index].write);
  bbw_trainer_options options = options_of(index, freeze);
  bbw_status rv = bbw_trainer_new(&t, model, &options, &bbw_mem_libc, &err);
  if (rv != BBW_OK) { say_refused(name, rv, &err); }
  assert_int_equal(rv, BBW_OK);
  size_t count, wrong = 0;
  float values[PARAMETERS_MAX], gradient[PARAMETERS_MAX], u[PARAMETERS_MAX];
  double loss, along = 0.0, largest = 1e-3;
  const float *initial = bbw_trainer_values(t, &count);
  assert_true(count <= PARAMETERS_MAX);
  memcpy(values, initial, count * sizeof *values);
  rv = bbw_trainer_gradient(t, NULL, 0, NULL, &loss, gradient, &err);
  if (rv != BBW_OK) { say_refused(name, rv, &err); }
  assert_int_equal(rv, BBW_OK);
  kernel_fill(u, count, 99, -1.0f, 1.0f);
  dual p[PARAMETERS_MAX];
  for (size_t i = 0; i < count; i++) { p[i] = (dual){(double)values[i], (double)u[i]}; }
  dual want = cases[index].loss(p);
  for (size_t i = 0; i < count; i++) {
    along += (double)gradient[i] * (double)u[i];
    largest = fmax(largest, fabs((double)gradient[i]));
  }
  if (!(fabs(loss - want.v) < 1e-5 && fabs(along - want.d) < 2e-5 * largest * (double)count)) {
    print_error("%s: loss %.9g, in C %.9g; derivative %.9g, in C %.9g\n", name, loss, want.v, along, want.d);
    wrong++;
  }
  for (size_t i = 0; i < count; i++) {
    const float h = 0x1p-7f;
    float moved[PARAMETERS_MAX];
    memcpy(moved, values, count * sizeof *moved);
    moved[i] = values[i] + h;
    double above = loss_at(t, moved, count, name);
    moved[i] = values[i] - h;
    double difference = (above - loss_at(t, moved, count, name)) / (2.0 * (double)h);
    if (!(fabs(difference - (double)gradient[i]) < 2e-3 * largest)) {
      print_error("%s: gradient[%zu] is %.9g, the differences say %.9g\n", name, i, (double)gradient[i], difference);
      wrong++;
    }
  }
  assert_int_equal(wrong, 0);
  /* The same bits again, and by the bits of a step after them. */
  float again[PARAMETERS_MAX];
  assert_int_equal(bbw_trainer_load(t, values, count, NULL), BBW_OK);
  assert_int_equal(bbw_trainer_gradient(t, NULL, 0, NULL, &loss, again, NULL), BBW_OK);
  assert_memory_equal(gradient, again, count * sizeof *again);
  assert_int_equal(bbw_trainer_step(t, NULL, 0, NULL, &loss, NULL, NULL), BBW_OK);
  /* And with what is made again on the way back. */
  bbw_trainer *sparing;
  options.checkpoints = 3;
  assert_int_equal(bbw_trainer_new(&sparing, model, &options, &bbw_mem_libc, NULL), BBW_OK);
  assert_int_equal(bbw_trainer_step(sparing, NULL, 0, NULL, &loss, NULL, &err), BBW_OK);
  assert_memory_equal(bbw_trainer_values(sparing, &count), bbw_trainer_values(t, &count), count * sizeof *again);
  bbw_trainer_del(sparing);
  bbw_trainer_del(t);
  free_model(&w);
  for (int second = 0; second < 2; second++) { grad_case_cover(cases[index].op, 0, second != 0); }
}

/* The backward graph by itself, of the mean of y, and the graph with segments that are made again: both give what a step gives. */
static void check_other_graphs(size_t index) {
  written w;
  bbw_str freeze[2];
  bbw_trainer *t, *checkpointed;
  double loss;
  size_t count;
  float gradient[PARAMETERS_MAX], other[PARAMETERS_MAX], slopes[PARAMETERS_MAX];
  bbw_bytes model = write_model(&w, cases[index].write);
  bbw_trainer_options options = options_of(index, freeze);
  options.has_backward = true;
  assert_int_equal(bbw_trainer_new(&t, model, &options, &bbw_mem_libc, NULL), BBW_OK);
  options.checkpoints = UINT32_MAX;
  assert_int_equal(bbw_trainer_new(&checkpointed, model, &options, &bbw_mem_libc, NULL), BBW_OK);
  bbw_trainer_values(t, &count);
  assert_int_equal(bbw_trainer_gradient(t, NULL, 0, NULL, &loss, gradient, NULL), BBW_OK);
  assert_int_equal(bbw_trainer_gradient(checkpointed, NULL, 0, NULL, &loss, other, NULL), BBW_OK);
  assert_memory_equal(gradient, other, count * sizeof *other);
  bbw_array y[1], slope;
  assert_int_equal(bbw_trainer_evaluate(t, NULL, 0, NULL, NULL, y, NULL), BBW_OK);
  slope = y[0];
  assert_true(slope.count <= PARAMETERS_MAX);
  for (size_t i = 0; i < slope.count; i++) { slopes[i] = 1.0f / (float)slope.count; }
  slope.data = slopes;
  assert_int_equal(bbw_trainer_backward(t, NULL, 0, &slope, other, NULL), BBW_OK);
  for (size_t i = 0; i < count; i++) { assert_true(fabsf(gradient[i] - other[i]) < 1e-6f); }
  bbw_trainer_del(t);
  bbw_trainer_del(checkpointed);
  free_model(&w);
}

void grad_graphs_check(void) {
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    check_case(i);
    check_other_graphs(i);
  }
}

/* ---- what has no gradient ---- */

static void inner_without_gradient(onnx_file *f, onnx_file *body) {
  weights(f, "ad");
  onnx_ints(f, "count", (const int64_t[]){0}, 1);
  f->initializers[f->initializer_count - 1].int64_data.items = bbw_arena_array(&f->arena, 1, sizeof(int64_t));
  onnx_input_of_type(body, "i", "", 7);
  onnx_input_of_type(body, "goes", "", 9);
  onnx_input(body, "s", "2");
  onnx_node(body, "Unique", "culprit", "s", "u");
  onnx_node(body, "Mul", "scale", "u a", "next");
  onnx_node(body, "Identity", "same", "goes", "on");
  onnx_output(body, "on");
  onnx_output(body, "next");
  bbw_onnx_node *node = onnx_node(f, "Loop", "loop", "count - d", "y");
  onnx_attribute_graph(f, node, "body", body);
}

/* What is carried is f64: its gradient would be lost, and d has another way to the loss. */
static void carried_doubles(onnx_file *f, onnx_file *body) {
  weights(f, "dx");
  onnx_input_of_type(body, "h", "2", 11);
  onnx_input(body, "row", "2");
  onnx_node(body, "Neg", "neg", "h", "next");
  onnx_output(body, "next");
  onnx_attribute_int(f, onnx_node(f, "Cast", "cast", "d", "d64"), "to", 11);
  bbw_onnx_node *node = onnx_node(f, "Scan", "culprit", "d64 x", "last64");
  onnx_attribute_graph(f, node, "body", body);
  onnx_attribute_int(f, node, "num_scan_inputs", 1);
  onnx_attribute_int(f, onnx_node(f, "Cast", "back", "last64", "last"), "to", 1);
  onnx_node(f, "Add", "both", "d last", "sum");
  onnx_node(f, "Add", "all", "sum x", "y");
}

void grad_graphs_check_refusals(void) {
  static const struct {
    void (*write)(onnx_file *f, onnx_file *bodies);
    const char *op;
  } rows[] = {{inner_without_gradient, "Unique"}, {carried_doubles, "Scan"}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    written w;
    bbw_trainer *t = NULL;
    bbw_error err;
    bbw_bytes model = write_model(&w, rows[i].write);
    bbw_trainer_options options = {.loss = BBW_TRAINER_OUTPUT, .rate = 0.1f};
    bbw_status rv = bbw_trainer_new(&t, model, &options, &bbw_mem_libc, &err);
    bbw_trainer_del(t);
    free_model(&w);
    assert_int_equal(rv, BBW_E_ONNX_UNSUPPORTED);
    assert_true(bbw_str_equal(bbw_error_field(&err, "node"), BBW_STR("culprit")));
    assert_true(bbw_str_equal(bbw_error_field(&err, "op_type"), (bbw_str){rows[i].op, strlen(rows[i].op)}));
  }
}

/* ---- memory ---- */

/* s = -s in each of `count` Scans over one row, one behind the other. */
static size_t peak_of_scans(size_t count) {
  static char names[ONNX_FILE_MAX][24], inputs[ONNX_FILE_MAX][32];
  written w;
  onnx_file_init(&w.file);
  for (size_t i = 0; i < BODIES_MAX; i++) { onnx_file_init(&w.bodies[i]); }
  weights(&w.file, "dx");
  onnx_input(&w.bodies[0], "s", "2");
  onnx_input(&w.bodies[0], "row", "2");
  onnx_node(&w.bodies[0], "Neg", "neg", "s", "next");
  onnx_output(&w.bodies[0], "next");
  for (size_t i = 0; i < count; i++) {
    (void)snprintf(names[i], sizeof names[i], "h%zu", i);
    (void)snprintf(inputs[i], sizeof inputs[i], "%s x", i > 0 ? names[i - 1] : "d");
    bbw_onnx_node *node = onnx_node(&w.file, "Scan", names[i], inputs[i], names[i]);
    onnx_attribute_graph(&w.file, node, "body", &w.bodies[0]);
    onnx_attribute_int(&w.file, node, "num_scan_inputs", 1);
  }
  onnx_node(&w.file, "Identity", "last", names[count - 1], "y");
  onnx_output(&w.file, "y");
  bbw_bytes model = onnx_bytes(&w.file);
  static const bbw_str freeze[] = {{"x", 1}};
  bbw_trainer_options options = {.loss = BBW_TRAINER_OUTPUT, .rate = 0.1f, .freeze = freeze, .freeze_count = 1};
  test_mem mem;
  bbw_trainer *t;
  test_mem_init(&mem);
  assert_int_equal(bbw_trainer_new(&t, model, &options, &mem.mem, NULL), BBW_OK);
  bbw_trainer_del(t);
  free_model(&w);
  return mem.peak_bytes;
}

/* What is needed while one gradient is made is given back before the next: a file of many loops takes little for each. */
static void check_peak(void) {
  size_t few = peak_of_scans(8), many = peak_of_scans(32);
  assert_true(many - few < 24 * 20000u);
}

void grad_graphs_check_memory(void) {
  check_peak();
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i += 2) {
    written w;
    bbw_str freeze[2];
    bbw_bytes model = write_model(&w, cases[i].write);
    bbw_trainer_options options = options_of(i, freeze);
    test_mem mem;
    test_mem_init(&mem);
    bbw_status rv = BBW_E_NOMEM;
    for (size_t nth = 0; rv != BBW_OK; nth++) {
      bbw_trainer *t = NULL;
      double loss;
      bbw_error err;
      rv = bbw_trainer_new(&t, model, &options, test_mem_fail_at(&mem, nth), &err);
      if (rv == BBW_OK) { rv = bbw_trainer_step(t, NULL, 0, NULL, &loss, NULL, &err); }
      if (rv != BBW_OK) { assert_int_equal(rv, BBW_E_NOMEM); }
      if (t != NULL && rv != BBW_OK) { /* the step that failed can be made */
        mem.fail_at = TEST_MEM_NEVER;
        assert_int_equal(bbw_trainer_step(t, NULL, 0, NULL, &loss, NULL, &err), BBW_OK);
      }
      bbw_trainer_del(t);
      assert_int_equal(mem.live_bytes, 0);
    }
    free_model(&w);
  }
}

/* ---- what is frozen ---- */

void grad_graphs_check_frozen(void) {
  size_t nodes[2];
  for (size_t is_frozen = 0; is_frozen < 2; is_frozen++) {
    written w;
    bbw_trainer *t;
    static const bbw_str freeze[] = {{"places", 6}, {"a", 1}, {"b", 1}, {"d", 1}, {"x", 1}};
    bbw_bytes model = write_model(&w, scan_forward);
    bbw_trainer_options options = {
        .loss = BBW_TRAINER_OUTPUT, .rate = 0.1f, .freeze = freeze, .freeze_count = is_frozen ? 5 : 1};
    assert_int_equal(bbw_trainer_new(&t, model, &options, &bbw_mem_libc, NULL), BBW_OK);
    float gradient[PARAMETERS_MAX];
    double loss;
    assert_int_equal(bbw_trainer_gradient(t, NULL, 0, NULL, &loss, gradient, NULL), BBW_OK);
    assert_int_equal(bbw_trainer_parameter_count(t), is_frozen ? 1 : 5);
    nodes[is_frozen] = bbw_trainer_stats_of(t).node_count;
    bbw_trainer_del(t);
    free_model(&w);
  }
  assert_true(nodes[1] < nodes[0]);
}
