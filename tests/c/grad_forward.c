#include "grad_forward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/convert.h"

/* ---- dual numbers ---- */

static dual num(double v) { return (dual){v, 0.0}; }
static dual add(dual a, dual b) { return (dual){a.v + b.v, a.d + b.d}; }
static dual sub(dual a, dual b) { return (dual){a.v - b.v, a.d - b.d}; }
static dual mul(dual a, dual b) { return (dual){a.v * b.v, a.d * b.v + a.v * b.d}; }
static dual quot(dual a, dual b) { return (dual){a.v / b.v, (a.d * b.v - a.v * b.d) / (b.v * b.v)}; }
static dual root(dual a) { return (dual){sqrt(a.v), a.d / (2.0 * sqrt(a.v))}; }
static dual expo(dual a) { return (dual){exp(a.v), a.d * exp(a.v)}; }
static dual loga(dual a) { return (dual){log(a.v), a.d / a.v}; }
static dual size_of(dual a) { return a.v < 0.0 ? sub(num(0.0), a) : a; }
/* The exponent's part only where it moves: the logarithm of a negative number is asked for by nobody else. */
static dual power(dual a, dual b) {
  double slope = b.v == 0.0 ? 0.0 : b.v * pow(a.v, b.v - 1.0);
  return (dual){pow(a.v, b.v), a.d * slope + (b.d != 0.0 ? b.d * pow(a.v, b.v) * log(a.v) : 0.0)};
}

/* ---- attributes ---- */

static const bbw_onnx_attribute *attribute(const forward_call *c, const char *name) {
  for (size_t i = 0; i < c->attributes.count; i++) {
    const bbw_onnx_attribute *a = BBW_PROTO_AT(&c->attributes, bbw_onnx_attribute, i);
    if (a->name.len == strlen(name) && memcmp(a->name.ptr, name, a->name.len) == 0) { return a; }
  }
  return NULL;
}
static double real(const forward_call *c, const char *name, double otherwise) {
  const bbw_onnx_attribute *a = attribute(c, name);
  return a != NULL ? (double)a->f : otherwise;
}
static int64_t whole(const forward_call *c, const char *name, int64_t otherwise) {
  const bbw_onnx_attribute *a = attribute(c, name);
  return a != NULL ? a->i : otherwise;
}
static bool is_text(const forward_call *c, const char *name, const char *value) {
  const bbw_onnx_attribute *a = attribute(c, name);
  return a != NULL && a->s.len == strlen(value) && memcmp(a->s.ptr, value, a->s.len) == 0;
}
static int64_t whole_at(const forward_call *c, const char *name, size_t i, int64_t otherwise) {
  const bbw_onnx_attribute *a = attribute(c, name);
  return a != NULL && i < a->ints.count ? *BBW_PROTO_AT(&a->ints, int64_t, i) : otherwise;
}
static int64_t item(const dual_array *a, size_t i) {
  int64_t n;
  bbw_load_i64(a->wholes, i, 1, &n);
  return n;
}
static void *get(forward_call *c, size_t count, size_t size) {
  void *p = bbw_arena_array(c->arena, count + 1, size);
  if (p == NULL) { abort(); }
  return p;
}

/* ---- slopes ---- */

static const double two_by_root_pi = 1.12837916709551257390, root_half = 0.70710678118654752440;

static double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }
static double s_abs(const forward_call *c, double x) { return (void)c, x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0; }
static double s_acos(const forward_call *c, double x) { return (void)c, -1.0 / sqrt(1.0 - x * x); }
static double s_acosh(const forward_call *c, double x) { return (void)c, 1.0 / sqrt(x * x - 1.0); }
static double s_asin(const forward_call *c, double x) { return (void)c, 1.0 / cos(asin(x)); }
static double s_asinh(const forward_call *c, double x) { return (void)c, 1.0 / cosh(asinh(x)); }
static double s_atan(const forward_call *c, double x) { return (void)c, cos(atan(x)) * cos(atan(x)); }
static double s_atanh(const forward_call *c, double x) { return (void)c, 0.5 / (1.0 + x) + 0.5 / (1.0 - x); }
static double s_cos(const forward_call *c, double x) { return (void)c, -sin(x); }
static double s_cosh(const forward_call *c, double x) { return (void)c, 0.5 * (exp(x) - exp(-x)); }
static double s_erf(const forward_call *c, double x) { return (void)c, two_by_root_pi * exp(-x * x); }
static double s_exp(const forward_call *c, double x) { return (void)c, exp(x); }
static double s_hard_swish(const forward_call *c, double x) {
  return (void)c, x <= -3.0 ? 0.0 : x >= 3.0 ? 1.0 : x / 3.0 + 0.5;
}
static double s_log(const forward_call *c, double x) { return (void)c, 1.0 / x; }
static double s_mish(const forward_call *c,
                     double x) { /* x tanh(log(1 + e^x)) = x (s^2 - 1) / (s^2 + 1) with s = 1 + e^x */
  dual s = add(num(1.0), expo((dual){x, 1.0})), q = mul(s, s);
  (void)c;
  return mul((dual){x, 1.0}, quot(sub(q, num(1.0)), add(q, num(1.0)))).d;
}
static double s_neg(const forward_call *c, double x) { return (void)c, (void)x, -1.0; }
static double s_one(const forward_call *c, double x) { return (void)c, (void)x, 1.0; }
static double s_reciprocal(const forward_call *c, double x) { return (void)c, -1.0 / (x * x); }
static double s_relu(const forward_call *c, double x) { return (void)c, x > 0.0 ? 1.0 : 0.0; }
static double s_sigmoid(const forward_call *c, double x) { return (void)c, sigmoid(x) * sigmoid(-x); }
static double s_sin(const forward_call *c, double x) { return (void)c, cos(x); }
static double s_sinh(const forward_call *c, double x) { return (void)c, 0.5 * (exp(x) + exp(-x)); }
static double s_softplus(const forward_call *c, double x) { return (void)c, sigmoid(x); }
static double s_softsign(const forward_call *c, double x) { return (void)c, pow(1.0 + fabs(x), -2.0); }
static double s_sqrt(const forward_call *c, double x) { return (void)c, 0.5 * pow(x, -0.5); }
static double s_tan(const forward_call *c, double x) { return (void)c, 1.0 / (cos(x) * cos(x)); }
static double s_tanh(const forward_call *c, double x) { return (void)c, 1.0 / (cosh(x) * cosh(x)); }
static double s_celu(const forward_call *c, double x) { return x > 0.0 ? 1.0 : exp(x / real(c, "alpha", 1.0)); }
static double s_elu(const forward_call *c, double x) { return x > 0.0 ? 1.0 : real(c, "alpha", 1.0) * exp(x); }
static double s_gelu(const forward_call *c, double x) {
  if (!is_text(c, "approximate", "tanh")) {
    return 0.5 * erfc(-x * root_half) + x * root_half * 0.5 * two_by_root_pi * exp(-0.5 * x * x);
  }
  double k = root_half * two_by_root_pi, t = tanh(k * (x + 0.044715 * x * x * x));
  return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * k * (1.0 + 3.0 * 0.044715 * x * x);
}
static double s_hard_sigmoid(const forward_call *c, double x) {
  double alpha = real(c, "alpha", 0.2), y = alpha * x + real(c, "beta", 0.5);
  return y > 0.0 && y < 1.0 ? alpha : 0.0;
}
static double s_leaky(const forward_call *c, double x) { return x < 0.0 ? real(c, "alpha", 0.01) : 1.0; }
static double s_selu(const forward_call *c, double x) {
  return real(c, "gamma", 1.05070102214813232421875) *
         (x > 0.0 ? 1.0 : real(c, "alpha", 1.67326319217681884765625) * exp(x));
}
static double s_shrink(const forward_call *c, double x) { return fabs(x) > real(c, "lambd", 0.5) ? 1.0 : 0.0; }
static double s_threshold(const forward_call *c, double x) { return x > real(c, "alpha", 1.0) ? 1.0 : 0.0; }

static const struct {
  const char *op;
  double (*at)(const forward_call *c, double x);
} slopes[] = {
    {"Abs", s_abs},
    {"Acos", s_acos},
    {"Acosh", s_acosh},
    {"Asin", s_asin},
    {"Asinh", s_asinh},
    {"Atan", s_atan},
    {"Atanh", s_atanh},
    {"Celu", s_celu},
    {"Cos", s_cos},
    {"Cosh", s_cosh},
    {"Elu", s_elu},
    {"Erf", s_erf},
    {"Exp", s_exp},
    {"Gelu", s_gelu},
    {"HardSigmoid", s_hard_sigmoid},
    {"HardSwish", s_hard_swish},
    {"Identity", s_one},
    {"LeakyRelu", s_leaky},
    {"Log", s_log},
    {"Mish", s_mish},
    {"Neg", s_neg},
    {"Reciprocal", s_reciprocal},
    {"Relu", s_relu},
    {"Selu", s_selu},
    {"Shrink", s_shrink},
    {"Sigmoid", s_sigmoid},
    {"Sin", s_sin},
    {"Sinh", s_sinh},
    {"Softplus", s_softplus},
    {"Softsign", s_softsign},
    {"Sqrt", s_sqrt},
    {"Tan", s_tan},
    {"Tanh", s_tanh},
    {"ThresholdedRelu", s_threshold},
};

/* ---- several inputs, spread over each other ---- */

static dual e_clip(const dual *x, size_t n) {
  dual y = x[0];
  if (n > 1 && y.v < x[1].v) { y = x[1]; }
  if (n > 2 && y.v > x[2].v) { y = x[2]; }
  return y;
}
static dual e_div(const dual *x, size_t n) { return (void)n, quot(x[0], x[1]); }
static dual e_max(const dual *x, size_t n) {
  dual y = x[0];
  for (size_t i = 1; i < n; i++) { y = x[i].v > y.v ? x[i] : y; }
  return y;
}
static dual e_min(const dual *x, size_t n) {
  dual y = x[0];
  for (size_t i = 1; i < n; i++) { y = x[i].v < y.v ? x[i] : y; }
  return y;
}
static dual e_mod(const dual *x, size_t n) { return (void)n, sub(x[0], mul(num(trunc(x[0].v / x[1].v)), x[1])); }
static dual e_pow(const dual *x, size_t n) { return (void)n, power(x[0], x[1]); }
static dual e_prelu(const dual *x, size_t n) { return (void)n, x[0].v < 0.0 ? mul(x[0], x[1]) : x[0]; }

static const struct {
  const char *op;
  dual (*at)(const dual *x, size_t n);
} spread[] = {{"Clip", e_clip}, {"Div", e_div}, {"Max", e_max},    {"Min", e_min},
              {"Mod", e_mod},   {"Pow", e_pow}, {"PRelu", e_prelu}};

static size_t spread_place(const dual_array *a, const dual_array *out, size_t i) {
  size_t at = 0, step = 1;
  for (uint32_t k = 0; k < a->rank; k++) {
    uint32_t d = a->rank - 1 - k;
    size_t size = out->dims[out->rank - 1 - k], index = i % size;
    i /= size;
    if (a->dims[d] != 1) { at += index * step; }
    step *= a->dims[d];
  }
  return at;
}

static void derive_spread(forward_call *c, dual (*at)(const dual *x, size_t n)) {
  for (size_t i = 0; i < c->out[0].count; i++) {
    dual x[OP_CASE_ARRAYS];
    for (size_t k = 0; k < c->input_count; k++) {
      size_t from = spread_place(&c->in[k], &c->out[0], i);
      x[k] = c->in[k].at != NULL ? c->in[k].at[from] : num((double)item(&c->in[k], from));
    }
    c->out[0].at[i] = at(x, c->input_count);
  }
}

/* ---- groups: elements that differ in the marked axes only ---- */

typedef struct groups {
  size_t count, length;
  size_t *of; /* [count, length] places of elements, in order */
} groups;

static groups group(forward_call *c, const dual_array *a, const bool *is_marked) {
  groups g = {.count = 1, .length = 1};
  for (uint32_t d = 0; d < a->rank; d++) { *(is_marked[d] ? &g.length : &g.count) *= a->dims[d]; }
  g.of = get(c, a->count, sizeof *g.of);
  size_t *filled = get(c, g.count, sizeof *filled);
  for (size_t i = 0; i < a->count; i++) {
    size_t number = 0, left = i, step = 1;
    for (uint32_t d = a->rank; d-- > 0;) {
      size_t index = left % a->dims[d];
      left /= a->dims[d];
      if (is_marked[d]) { continue; }
      number += index * step;
      step *= a->dims[d];
    }
    g.of[number * g.length + filled[number]++] = i;
  }
  return g;
}

static bool is(const forward_call *c, const char *op) { return strcmp(c->op, op) == 0; }

/* The axes that a reduction takes together, by attribute or by input 1. */
static void marked_axes(const forward_call *c, bool *is_marked) {
  const dual_array *x = &c->in[0], *axes = &c->in[1];
  const bbw_onnx_attribute *given = attribute(c, "axes");
  size_t count = given != NULL ? given->ints.count : c->input_count > 1 && axes->is_there ? axes->count : 0;
  for (size_t i = 0; i < count; i++) {
    int64_t axis = given != NULL ? whole_at(c, "axes", i, 0) : item(axes, i);
    is_marked[axis < 0 ? axis + (int64_t)x->rank : axis] = true;
  }
  bool is_mvn = is(c, "MeanVarianceNormalization");
  for (uint32_t d = 0; d < x->rank && count == 0; d++) {
    is_marked[d] = is_mvn ? d != 1 : whole(c, "noop_with_empty_axes", 0) == 0;
  }
}

static dual reduced(const char *op, const dual *x, const size_t *of, size_t n) {
  dual sum = num(0.0), product = num(1.0), best = x[of[0]];
  bool is_max = strcmp(op, "ReduceMax") == 0, is_exp = strcmp(op, "ReduceLogSumExp") == 0;
  for (size_t i = 0; i < n; i++) {
    dual y = x[of[i]];
    if (is_max ? y.v > best.v : y.v < best.v) { best = y; }
    product = mul(product, y);
    if (strcmp(op, "ReduceL1") == 0) { y = size_of(y); }
    if (strcmp(op, "ReduceL2") == 0 || strcmp(op, "ReduceSumSquare") == 0) { y = mul(y, y); }
    sum = add(sum, is_exp ? expo(y) : y);
  }
  if (is_max || strcmp(op, "ReduceMin") == 0) { return best; }
  if (strcmp(op, "ReduceProd") == 0) { return product; }
  if (strcmp(op, "ReduceL2") == 0) { return root(sum); }
  return strcmp(op, "ReduceLogSum") == 0 || is_exp ? loga(sum) : sum;
}

static void derive_reduction(forward_call *c) {
  bool is_marked[BBW_ARRAY_RANK_MAX] = {false};
  marked_axes(c, is_marked);
  groups g = group(c, &c->in[0], is_marked);
  for (size_t i = 0; i < g.count; i++) { c->out[0].at[i] = reduced(c->op, c->in[0].at, g.of + i * g.length, g.length); }
}

static void derive_lanes(forward_call *c) {
  bool is_marked[BBW_ARRAY_RANK_MAX] = {false};
  const dual_array *x = &c->in[0];
  bool is_norm = is(c, "LpNormalization"), is_log = is(c, "LogSoftmax");
  int64_t axis = whole(c, "axis", -1);
  if (axis < 0) { axis += (int64_t)x->rank; }
  for (uint32_t d = (uint32_t)axis; d < x->rank; d++) {
    is_marked[d] = d == (uint32_t)axis || (!is_norm && c->opset < 13);
  }
  groups g = group(c, x, is_marked);
  for (size_t i = 0; i < g.count; i++) {
    dual sum = num(0.0);
    bool is_square = is_norm && whole(c, "p", 2) == 2;
    for (size_t k = 0; k < g.length; k++) {
      dual y = x->at[g.of[i * g.length + k]];
      sum = add(sum, !is_norm ? expo(y) : is_square ? mul(y, y) : size_of(y));
    }
    if (is_square) { sum = root(sum); }
    for (size_t k = 0; k < g.length; k++) {
      size_t at = g.of[i * g.length + k];
      dual y = x->at[at];
      c->out[0].at[at] = is_log ? sub(y, loga(sum)) : quot(is_norm ? y : expo(y), sum);
    }
  }
}

/* (x - mean) / sqrt(variance + epsilon), then a scale and a bias for each element of the group or for each channel. */
static void derive_norm(forward_call *c) {
  dual_array x = c->in[0];
  size_t dims[3], channels = x.rank > 1 ? x.dims[1] : 1, rest = x.rank > 1 ? x.count / (x.dims[0] * channels) : 1;
  bool is_marked[BBW_ARRAY_RANK_MAX] = {false}, is_layer = is(c, "LayerNormalization");
  if (is(c, "MeanVarianceNormalization")) {
    marked_axes(c, is_marked);
  } else if (is_layer) {
    int64_t axis = whole(c, "axis", -1);
    for (uint32_t d = (uint32_t)(axis < 0 ? axis + (int64_t)x.rank : axis); d < x.rank; d++) { is_marked[d] = true; }
  } else if (is(c, "BatchNormalization")) {
    for (uint32_t d = 0; d < x.rank; d++) { is_marked[d] = d != 1; }
  } else { /* groups of channels as one axis */
    size_t count = is(c, "InstanceNormalization") ? channels : (size_t)whole(c, "num_groups", 1);
    dims[0] = x.dims[0];
    dims[1] = count;
    dims[2] = x.count / (dims[0] * count);
    x.dims = dims;
    x.rank = 3;
    is_marked[2] = true;
  }
  groups g = group(c, &x, is_marked);
  double epsilon = is(c, "MeanVarianceNormalization") ? 0.0 : real(c, "epsilon", 1e-5);
  for (size_t i = 0; i < g.count; i++) {
    dual mean = num(0.0), variance = num(0.0);
    const size_t *of = g.of + i * g.length;
    for (size_t k = 0; k < g.length; k++) { mean = add(mean, x.at[of[k]]); }
    mean = quot(mean, num((double)g.length));
    for (size_t k = 0; k < g.length; k++) {
      dual e = sub(x.at[of[k]], mean);
      variance = add(variance, mul(e, e));
    }
    dual deviation = root(add(quot(variance, num((double)g.length)), num(epsilon)));
    for (size_t k = 0; k < g.length; k++) {
      dual y = quot(sub(x.at[of[k]], mean), deviation);
      size_t which = is_layer ? k : of[k] / rest % channels;
      if (c->input_count > 1) { y = mul(y, c->in[1].at[which]); }
      if (c->input_count > 2) { y = add(y, c->in[2].at[which]); }
      c->out[0].at[of[k]] = y;
    }
  }
}

static void derive_batch_norm(forward_call *c) {
  const dual_array *x = &c->in[0];
  size_t rest = x->count / (x->dims[0] * x->dims[1]);
  if (whole(c, "training_mode", 0) != 0) {
    derive_norm(c);
    return;
  }
  for (size_t i = 0; i < x->count; i++) {
    size_t channel = i / rest % x->dims[1];
    dual y = quot(sub(x->at[i], c->in[3].at[channel]), root(add(c->in[4].at[channel], num(real(c, "epsilon", 1e-5)))));
    c->out[0].at[i] = add(mul(y, c->in[1].at[channel]), c->in[2].at[channel]);
  }
}

static void derive_lrn(forward_call *c) {
  const dual_array *x = &c->in[0];
  size_t channels = x->dims[1], rest = x->count / (x->dims[0] * channels);
  int64_t size = whole(c, "size", 1), before = (size - 1) / 2, after = size - 1 - before;
  for (size_t i = 0; i < x->count; i++) {
    int64_t channel = (int64_t)(i / rest % channels);
    dual sum = num(0.0);
    for (int64_t k = channel - before; k <= channel + after; k++) {
      if (k < 0 || k >= (int64_t)channels) { continue; }
      dual y = x->at[(size_t)((int64_t)i + (k - channel) * (int64_t)rest)];
      sum = add(sum, mul(y, y));
    }
    dual s = add(num(real(c, "bias", 1.0)), mul(num(real(c, "alpha", 1e-4) / (double)size), sum));
    c->out[0].at[i] = quot(x->at[i], power(s, num(real(c, "beta", 0.75))));
  }
}

/* By the first row: the sum over its elements times what is left without their row and column. */
static dual determinant(const dual *a, size_t n) {
  dual minor[64], sum = num(0.0);
  if (n == 0) { return num(1.0); }
  for (size_t j = 0; j < n; j++) {
    for (size_t i = 1; i < n; i++) {
      for (size_t k = 0, to = 0; k < n; k++) {
        if (k != j) { minor[(i - 1) * (n - 1) + to++] = a[i * n + k]; }
      }
    }
    dual product = mul(a[j], determinant(minor, n - 1));
    sum = j % 2 == 0 ? add(sum, product) : sub(sum, product);
  }
  return sum;
}

static void derive_det(forward_call *c) {
  const dual_array *x = &c->in[0];
  size_t n = x->dims[x->rank - 1];
  for (size_t i = 0; i < c->out[0].count; i++) { c->out[0].at[i] = determinant(x->at + i * n * n, n); }
}

static void derive_max_pool(forward_call *c) {
  const dual_array *x = &c->in[0], *out = &c->out[0];
  uint32_t axes = x->rank - 2;
  bool is_global = is(c, "GlobalMaxPool");
  size_t kernel[3] = {1, 1, 1}, in_plane = 1, out_plane = 1, taps = 1;
  for (uint32_t d = 0; d < axes; d++) {
    kernel[d] = is_global ? x->dims[2 + d] : (size_t)whole_at(c, "kernel_shape", d, 1);
    taps *= kernel[d];
    in_plane *= x->dims[2 + d];
    out_plane *= out->dims[2 + d];
  }
  for (size_t o = 0; o < out->count; o++) {
    dual best = {-INFINITY, 0.0};
    for (size_t t = 0; t < taps; t++) {
      size_t place = o % out_plane, tap = t, at = 0, step = 1;
      bool is_inside = true;
      for (uint32_t d = axes; d-- > 0;) {
        int64_t i = (int64_t)(place % out->dims[2 + d]) * whole_at(c, "strides", d, 1) - whole_at(c, "pads", d, 0) +
                    (int64_t)(tap % kernel[d]) * whole_at(c, "dilations", d, 1);
        place /= out->dims[2 + d];
        tap /= kernel[d];
        is_inside = is_inside && i >= 0 && i < (int64_t)x->dims[2 + d];
        at += (is_inside ? (size_t)i : 0) * step;
        step *= x->dims[2 + d];
      }
      dual y = x->at[o / out_plane * in_plane + (is_inside ? at : 0)];
      if (is_inside && y.v > best.v) { best = y; }
    }
    out->at[o] = best;
  }
}

/* Of the sample: linear in the picture; along the grid, each axis with its own polynomial. */
static dual mirrored(dual x, double low, double high) {
  for (int turns = 0; turns < 100 && (x.v < low || x.v > high); turns++) {
    x = sub(num(2.0 * (x.v < low ? low : high)), x);
  }
  return x;
}
static dual cubic_weight(dual distance) { /* Keys, a = -3/4 */
  const double a = -0.75;
  dual x = size_of(distance), xx = mul(x, x), xxx = mul(xx, x);
  if (x.v <= 1.0) { return add(sub(mul(num(a + 2.0), xxx), mul(num(a + 3.0), xx)), num(1.0)); }
  if (x.v >= 2.0) { return num(0.0); }
  return add(sub(mul(num(a), xxx), mul(num(5.0 * a), xx)), sub(mul(num(8.0 * a), x), num(4.0 * a)));
}
static void derive_grid_sample(forward_call *c) {
  const dual_array *x = &c->in[0], *grid = &c->in[1];
  bool aligns = whole(c, "align_corners", 0) != 0, is_edge = is_text(c, "padding_mode", "border"),
       is_mirror = is_text(c, "padding_mode", "reflection"), is_cubic = is_text(c, "mode", "bicubic"),
       is_nearest = is_text(c, "mode", "nearest");
  size_t places = grid->dims[1] * grid->dims[2], channels = x->dims[1];
  for (size_t o = 0; o < c->out[0].count; o++) {
    size_t batch = o / (places * channels), channel = o / places % channels;
    dual place[2], sum = num(0.0);
    for (uint32_t axis = 0; axis < 2; axis++) { /* column, row */
      double n = (double)x->dims[3 - axis], low = aligns ? 0.0 : -0.5;
      dual p = grid->at[(batch * places + o % places) * 2 + axis];
      p = aligns ? mul(add(p, num(1.0)), num((n - 1.0) / 2.0)) : sub(mul(add(p, num(1.0)), num(n / 2.0)), num(0.5));
      if (is_nearest) { p = num(nearbyint(p.v)); }
      if (is_edge) { p = p.v < 0.0 ? num(0.0) : p.v > n - 1.0 ? num(n - 1.0) : p; }
      place[axis] = is_mirror ? mirrored(p, low, n - 1.0 - low) : p;
    }
    for (int r = (int)floor(place[1].v) - 1; r <= (int)floor(place[1].v) + 2; r++) {
      for (int k = (int)floor(place[0].v) - 1; k <= (int)floor(place[0].v) + 2; k++) {
        dual weight = num(1.0);
        int at[2] = {k, r};
        bool is_there = true;
        for (uint32_t axis = 0; axis < 2; axis++) {
          dual away = sub(num((double)at[axis]), place[axis]);
          int n = (int)x->dims[3 - axis];
          weight = mul(weight, is_cubic             ? cubic_weight(away)
                               : fabs(away.v) < 1.0 ? sub(num(1.0), size_of(away))
                                                    : num(0.0));
          if (is_mirror) {
            at[axis] = (int)nearbyint(
                mirrored(num((double)at[axis]), aligns ? 0.0 : -0.5, (double)n - (aligns ? 1.0 : 0.5)).v);
          }
          if (is_edge || is_mirror) { at[axis] = at[axis] < 0 ? 0 : at[axis] >= n ? n - 1 : at[axis]; }
          is_there = is_there && at[axis] >= 0 && at[axis] < n;
        }
        if (!is_there) { continue; }
        size_t from = ((batch * channels + channel) * x->dims[2] + (size_t)at[1]) * x->dims[3] + (size_t)at[0];
        sum = add(sum, mul(weight, x->at[from]));
      }
    }
    c->out[0].at[o] = sum;
  }
}

static void derive_top_k(forward_call *c) {
  const dual_array *x = &c->in[0], *out = &c->out[0];
  bool is_marked[BBW_ARRAY_RANK_MAX] = {false}, is_largest = whole(c, "largest", 1) != 0;
  int64_t axis = whole(c, "axis", -1);
  is_marked[axis < 0 ? axis + (int64_t)x->rank : axis] = true;
  groups from = group(c, x, is_marked), to = group(c, out, is_marked);
  for (size_t i = 0; i < from.count; i++) {
    for (size_t k = 0; k < from.length; k++) { /* its rank in the lane */
      dual y = x->at[from.of[i * from.length + k]];
      size_t rank = 0;
      for (size_t m = 0; m < from.length; m++) {
        double other = x->at[from.of[i * from.length + m]].v;
        rank += is_largest ? other > y.v : other < y.v;
      }
      if (rank < to.length) { out->at[to.of[i * to.length + rank]] = y; }
    }
  }
}

static void derive_scatter(forward_call *c) {
  const dual_array *x = &c->in[0], *indices = &c->in[1], *updates = &c->in[2];
  bool is_nd = is(c, "ScatterND");
  memcpy(c->out[0].at, x->at, x->count * sizeof *x->at);
  size_t depth = is_nd ? indices->dims[indices->rank - 1] : 1;
  int64_t axis = whole(c, "axis", 0);
  if (axis < 0) { axis += (int64_t)x->rank; }
  for (size_t i = 0; i < updates->count; i++) {
    size_t at = 0, step = 1, left = i;
    if (is_nd) {
      size_t slice = 1;
      for (uint32_t d = (uint32_t)depth; d < x->rank; d++) { slice *= x->dims[d]; }
      step = slice;
      for (size_t d = depth; d-- > 0;) {
        int64_t index = item(indices, i / slice * depth + d);
        at += (size_t)(index < 0 ? index + (int64_t)x->dims[d] : index) * step;
        step *= x->dims[d];
      }
      at += i % slice;
    } else {
      for (uint32_t d = x->rank; d-- > 0;) {
        int64_t index = (int64_t)(left % updates->dims[d]);
        left /= updates->dims[d];
        if (d == (uint32_t)axis) { index = item(indices, i); }
        at += (size_t)(index < 0 ? index + (int64_t)x->dims[d] : index) * step;
        step *= x->dims[d];
      }
    }
    dual *to = &c->out[0].at[at], u = updates->at[i];
    *to = is_text(c, "reduction", "add")   ? add(*to, u)
          : is_text(c, "reduction", "mul") ? mul(*to, u)
          : is_text(c, "reduction", "max") ? (u.v > to->v ? u : *to)
          : is_text(c, "reduction", "min") ? (u.v < to->v ? u : *to)
                                           : u;
  }
}

static void derive_loss(forward_call *c) {
  const dual_array *x = &c->in[0], *classes = &c->in[1], *weights = c->input_count > 2 ? &c->in[2] : NULL;
  size_t count = x->dims[1], rest = x->count / (x->dims[0] * count);
  bool is_each = is_text(c, "reduction", "none"), is_sum = is_text(c, "reduction", "sum");
  dual total = num(0.0), divisor = num(0.0);
  for (size_t i = 0; i < classes->count; i++) {
    size_t start = i / rest * count * rest + i % rest;
    int64_t class = item(classes, i);
    bool is_ignored = attribute(c, "ignore_index") != NULL && class == whole(c, "ignore_index", 0);
    dual sum = num(0.0), score = x->at[start + (size_t) class * rest];
    for (size_t k = 0; k < count; k++) { sum = add(sum, expo(x->at[start + k * rest])); }
    if (is(c, "SoftmaxCrossEntropyLoss")) { score = sub(score, loga(sum)); }
    dual weight = is_ignored ? num(0.0) : weights != NULL ? num(weights->at[class].v) : num(1.0);
    dual loss = mul(num(-1.0), mul(weight, score));
    if (is_each) { c->out[0].at[i] = loss; }
    total = add(total, loss);
    divisor = add(divisor, weight);
  }
  if (!is_each) { c->out[0].at[0] = is_sum ? total : quot(total, divisor); }
}

/* ---- RNN, GRU, LSTM: the equations of ONNX ---- */

static dual squash(const forward_call *c, size_t which, size_t per_direction, size_t d, dual x) {
  static const char *const defaults[4][3] = {{0}, {"Tanh"}, {"Sigmoid", "Tanh"}, {"Sigmoid", "Tanh", "Tanh"}};
  const bbw_onnx_attribute *given = attribute(c, "activations");
  const char *name = defaults[per_direction][which];
  char text[32] = {0};
  if (given != NULL) {
    const bbw_bytes *s = BBW_PROTO_AT(&given->strings, bbw_bytes, d * per_direction + which);
    memcpy(text, s->ptr, s->len);
    name = text;
  }
  double clip = real(c, "clip", 0.0);
  bool is_gate = !(per_direction == 3 && which == 2); /* what goes out of the cell is not clipped */
  if (clip > 0.0 && is_gate && fabs(x.v) > clip) { x = num(x.v < 0.0 ? -clip : clip); }
  if (strcmp(name, "Sigmoid") == 0) { return quot(num(1.0), add(num(1.0), expo(sub(num(0.0), x)))); }
  if (strcmp(name, "Softsign") == 0) { return quot(x, add(num(1.0), size_of(x))); }
  if (strcmp(name, "Relu") == 0) { return x.v > 0.0 ? x : num(0.0); }
  if (strcmp(name, "Affine") == 0) {
    return add(mul(num((double)*BBW_PROTO_AT(&attribute(c, "activation_alpha")->floats, float, 0)), x),
               num((double)*BBW_PROTO_AT(&attribute(c, "activation_beta")->floats, float, 0)));
  }
  if (strcmp(name, "LeakyRelu") == 0) { return x.v < 0.0 ? mul(num((double)0.01f), x) : x; }
  if (strcmp(name, "ThresholdedRelu") == 0) { return x.v > 1.0 ? x : num(0.0); }
  if (strcmp(name, "HardSigmoid") == 0) {
    dual y = add(mul(num((double)0.2f), x), num(0.5));
    return y.v < 0.0 ? num(0.0) : y.v > 1.0 ? num(1.0) : y;
  }
  if (strcmp(name, "Elu") == 0) { return x.v < 0.0 ? sub(expo(x), num(1.0)) : x; }
  if (strcmp(name, "Softplus") == 0) { return loga(add(num(1.0), expo(x))); }
  bool is_scaled = strcmp(name, "ScaledTanh") == 0;
  if (!is_scaled && strcmp(name, "Tanh") != 0) { abort(); }
  if (is_scaled) { x = mul(x, num((double)*BBW_PROTO_AT(&attribute(c, "activation_beta")->floats, float, 0))); }
  dual y = sub(quot(num(2.0), add(num(1.0), expo(mul(num(-2.0), x)))), num(1.0));
  return is_scaled ? mul(y, num((double)*BBW_PROTO_AT(&attribute(c, "activation_alpha")->floats, float, 0))) : y;
}

static dual element(const forward_call *c, size_t input, size_t i) {
  return input < c->input_count && c->in[input].is_there ? c->in[input].at[i] : num(0.0);
}

static void derive_recurrent(forward_call *c) {
  size_t gates = is(c, "RNN") ? 1 : is(c, "GRU") ? 3 : 4, per = gates == 1 ? 1 : gates == 3 ? 2 : 3;
  bool is_batch_first = whole(c, "layout", 0) != 0, is_after = whole(c, "linear_before_reset", 0) != 0;
  const dual_array *x = &c->in[0];
  size_t steps = x->dims[is_batch_first ? 1 : 0], batch = x->dims[is_batch_first ? 0 : 1], width = x->dims[2];
  size_t n = c->in[2].dims[2], directions = c->in[1].dims[0], wide = gates * n;
  dual *h = get(c, n, sizeof *h), *cell = get(c, n, sizeof *cell), *of_x = get(c, wide, sizeof *of_x),
       *of_h = get(c, wide, sizeof *of_h), *reset = get(c, n, sizeof *reset);
  memset(c->out[0].at, 0, c->out[0].count * sizeof(dual));
  for (size_t db = 0; db < directions * batch; db++) {
    size_t d = db / batch, b = db % batch;
    size_t state = (is_batch_first ? b * directions + d : d * batch + b) * n;
    size_t length = c->input_count > 4 && c->in[4].is_there ? (size_t)item(&c->in[4], b) : steps;
    bool is_back = is_text(c, "direction", "reverse") || d == 1;
    for (size_t j = 0; j < n; j++) {
      h[j] = element(c, 5, state + j);
      cell[j] = gates == 4 ? element(c, 6, state + j) : num(0.0);
    }
    for (size_t i = 0; i < length; i++) {
      size_t t = is_back ? length - 1 - i : i;
      for (size_t k = 0; k < wide; k++) {
        of_x[k] = element(c, 3, d * 2 * wide + k);
        of_h[k] = element(c, 3, d * 2 * wide + wide + k);
        for (size_t m = 0; m < width; m++) {
          dual in = x->at[((is_batch_first ? b * steps + t : t * batch + b)) * width + m];
          of_x[k] = add(of_x[k], mul(in, c->in[1].at[(d * wide + k) * width + m]));
        }
        for (size_t m = 0; m < n; m++) { of_h[k] = add(of_h[k], mul(h[m], c->in[2].at[(d * wide + k) * n + m])); }
      }
      for (size_t j = 0; gates == 3 && j < n; j++) { reset[j] = squash(c, 0, per, d, add(of_x[n + j], of_h[n + j])); }
      for (size_t j = 0; gates == 3 && !is_after && j < n; j++) { /* the candidate sees r * h */
        dual *to = &of_h[2 * n + j];
        *to = element(c, 3, d * 2 * wide + wide + 2 * n + j);
        for (size_t m = 0; m < n; m++) {
          *to = add(*to, mul(mul(reset[m], h[m]), c->in[2].at[(d * wide + 2 * n + j) * n + m]));
        }
      }
      for (size_t j = 0; j < n; j++) {
        if (gates == 1) {
          h[j] = squash(c, 0, per, d, add(of_x[j], of_h[j]));
        } else if (gates == 3) {
          dual z = squash(c, 0, per, d, add(of_x[j], of_h[j]));
          dual part = is_after ? mul(reset[j], of_h[2 * n + j]) : of_h[2 * n + j];
          dual g = squash(c, 1, per, d, add(of_x[2 * n + j], part));
          h[j] = add(mul(sub(num(1.0), z), g), mul(z, h[j]));
        } else {
          dual peep[3];
          for (size_t k = 0; k < 3; k++) { peep[k] = element(c, 7, d * 3 * n + k * n + j); }
          dual in = squash(c, 0, per, d, add(add(of_x[j], of_h[j]), mul(peep[0], cell[j])));
          dual f = squash(c, 0, per, d, add(add(of_x[2 * n + j], of_h[2 * n + j]), mul(peep[2], cell[j])));
          if (whole(c, "input_forget", 0) != 0) { f = sub(num(1.0), in); }
          dual g = squash(c, 1, per, d, add(of_x[3 * n + j], of_h[3 * n + j]));
          cell[j] = add(mul(f, cell[j]), mul(in, g));
          dual o = squash(c, 0, per, d, add(add(of_x[n + j], of_h[n + j]), mul(peep[1], cell[j])));
          h[j] = mul(o, squash(c, 2, per, d, cell[j]));
        }
      }
      size_t place = is_batch_first ? (b * steps + t) * directions + d : (t * directions + d) * batch + b;
      memcpy(c->out[0].at + place * n, h, n * sizeof *h);
    }
    if (c->output_count > 1) { memcpy(c->out[1].at + state, h, n * sizeof *h); }
    if (c->output_count > 2) { memcpy(c->out[2].at + state, cell, n * sizeof *cell); }
  }
}

static const struct {
  const char *op;
  void (*derive)(forward_call *c);
} duals[] = {
    {"BatchNormalization", derive_batch_norm},
    {"Det", derive_det},
    {"GRU", derive_recurrent},
    {"GlobalMaxPool", derive_max_pool},
    {"GridSample", derive_grid_sample},
    {"GroupNormalization", derive_norm},
    {"InstanceNormalization", derive_norm},
    {"LRN", derive_lrn},
    {"LSTM", derive_recurrent},
    {"LayerNormalization", derive_norm},
    {"LogSoftmax", derive_lanes},
    {"LpNormalization", derive_lanes},
    {"MaxPool", derive_max_pool},
    {"MeanVarianceNormalization", derive_norm},
    {"NegativeLogLikelihoodLoss", derive_loss},
    {"RNN", derive_recurrent},
    {"ReduceL1", derive_reduction},
    {"ReduceL2", derive_reduction},
    {"ReduceLogSum", derive_reduction},
    {"ReduceLogSumExp", derive_reduction},
    {"ReduceMax", derive_reduction},
    {"ReduceMin", derive_reduction},
    {"ReduceProd", derive_reduction},
    {"ReduceSumSquare", derive_reduction},
    {"Scatter", derive_scatter},
    {"ScatterElements", derive_scatter},
    {"ScatterND", derive_scatter},
    {"Softmax", derive_lanes},
    {"SoftmaxCrossEntropyLoss", derive_loss},
    {"TopK", derive_top_k},
};

static const char *const affine[] = {
    "Add",
    "AveragePool",
    "Cast",
    "CastLike",
    "CenterCropPad",
    "Compress",
    "Concat",
    "Conv",
    "ConvTranspose",
    "CumSum",
    "DFT",
    "DepthToSpace",
    "Dropout",
    "Einsum",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Gemm",
    "GlobalAveragePool",
    "MatMul",
    "MaxUnpool",
    "Mean",
    "Mul",
    "OneHot",
    "Pad",
    "ReduceMean",
    "ReduceSum",
    "Reshape",
    "Resize",
    "RoiAlign",
    "STFT",
    "ReverseSequence",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Sub",
    "Sum",
    "Tile",
    "Transpose",
    "Trilu",
    "Unsqueeze",
    "Upsample",
    "Where",
};

forward_rule forward_derive(forward_call *c) {
  for (size_t i = 0; i < sizeof slopes / sizeof slopes[0]; i++) {
    if (!is(c, slopes[i].op)) { continue; }
    for (size_t k = 0; k < c->in[0].count; k++) {
      c->out[0].at[k].d = slopes[i].at(c, c->in[0].at[k].v) * c->in[0].at[k].d;
    }
    return FORWARD_DONE;
  }
  for (size_t i = 0; i < sizeof spread / sizeof spread[0]; i++) {
    if (is(c, spread[i].op)) { return derive_spread(c, spread[i].at), FORWARD_DONE; }
  }
  for (size_t i = 0; i < sizeof duals / sizeof duals[0]; i++) {
    if (is(c, duals[i].op)) { return duals[i].derive(c), FORWARD_DONE; }
  }
  for (size_t i = 0; i < sizeof affine / sizeof affine[0]; i++) {
    if (is(c, affine[i])) { return FORWARD_AFFINE; }
  }
  return FORWARD_NONE;
}
