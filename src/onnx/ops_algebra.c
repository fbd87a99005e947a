/* Einsum and Det. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "onnx/convert.h"
#include "onnx/ops.h"
#include "onnx/params.h"

/* ---- Einsum: a letter per axis; letters that the result does not name are summed over ---- */

#define LETTERS_MAX 24u
/* Products of one Einsum: an hour of work is no answer. */
#define PRODUCTS_MAX ((uint64_t)1 << 30)

static bbw_status bad_equation(bbw_prep *prep) {
  return bbw_prep_refuse(prep, "equation", "attribute is no equation of this operator");
}

/* Reads letters and at most one "..." up to ',' or "->". */
static bbw_status read_term(bbw_prep *prep, bbw_str text, size_t *at, bbw_einsum_term *out) {
  while (*at < text.len && text.ptr[*at] != ',' && text.ptr[*at] != '-') {
    char c = text.ptr[(*at)++];
    uint8_t letter;
    if (c == ' ') { continue; }
    if (c >= 'a' && c <= 'z') {
      letter = (uint8_t)(c - 'a' + 26);
    } else if (c >= 'A' && c <= 'Z') {
      letter = (uint8_t)(c - 'A');
    } else if (c == '.' && !out->has_ellipsis && *at + 1 < text.len && text.ptr[*at] == '.' &&
               text.ptr[*at + 1] == '.') {
      *at += 2;
      letter = BBW_EINSUM_ELLIPSIS;
      out->has_ellipsis = true;
    } else {
      return bad_equation(prep);
    }
    if (out->count == sizeof out->letters) { return bad_equation(prep); }
    out->letters[out->count++] = letter;
  }
  return BBW_OK;
}

/* Without "->" the result has the ellipsis, then in the order of the alphabet the letters that appear once. */
static void implicit_result(bbw_einsum_params *p) {
  uint32_t counts[52] = {0};
  bbw_einsum_term *result = &p->terms[p->operands];
  for (uint32_t k = 0; k < p->operands; k++) {
    result->has_ellipsis = result->has_ellipsis || p->terms[k].has_ellipsis;
    for (uint32_t i = 0; i < p->terms[k].count; i++) {
      if (p->terms[k].letters[i] != BBW_EINSUM_ELLIPSIS) { counts[p->terms[k].letters[i]]++; }
    }
  }
  if (result->has_ellipsis) { result->letters[result->count++] = BBW_EINSUM_ELLIPSIS; }
  for (uint8_t c = 0; c < 52; c++) {
    if (counts[c] == 1 && result->count < sizeof result->letters) { result->letters[result->count++] = c; }
  }
}

bbw_status bbw_einsum_prepare(bbw_prep *prep) {
  bbw_einsum_params *p = bbw_prep_params(prep, sizeof *p);
  bbw_str text;
  size_t at = 0;
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_str(prep, "equation", (bbw_str){NULL, 0}, &text));
  if (prep->input_count > BBW_EINSUM_OPERANDS_MAX) { return bbw_prep_unsupported(prep, NULL, "more than four inputs"); }
  p->operands = prep->input_count;
  for (uint32_t k = 0; k < p->operands; k++) {
    if (k > 0 && (at >= text.len || text.ptr[at++] != ',')) { return bad_equation(prep); }
    BBW_TRY(read_term(prep, text, &at, &p->terms[k]));
  }
  if (at == text.len) {
    implicit_result(p);
    return BBW_OK;
  }
  if (text.len - at < 2 || text.ptr[at] != '-' || text.ptr[at + 1] != '>') { return bad_equation(prep); }
  at += 2;
  BBW_TRY(read_term(prep, text, &at, &p->terms[p->operands]));
  return at == text.len ? BBW_OK : bad_equation(prep);
}

/* One loop per index: those of the result first, then those that are summed. */
typedef struct einsum_plan {
  uint32_t kept, all;
  size_t size[LETTERS_MAX];
  size_t step[BBW_EINSUM_OPERANDS_MAX][LETTERS_MAX];
} einsum_plan;

/* Letter and place of axis d of a term, where the ellipsis stands for `wide` axes; axes of ellipses are counted from their ends: letters 52 and up. */
static uint8_t letter_of(const bbw_einsum_term *t, uint32_t wide, uint32_t d) {
  uint32_t place = 0;
  for (uint32_t i = 0; i < t->count; i++) {
    if (t->letters[i] != BBW_EINSUM_ELLIPSIS) {
      if (place++ == d) { return t->letters[i]; }
      continue;
    }
    if (d < place + wide) { return (uint8_t)(52 + (place + wide - 1 - d)); }
    place += wide;
  }
  return BBW_EINSUM_ELLIPSIS;
}

bbw_status bbw_einsum_infer(bbw_call *call) {
  const bbw_einsum_params *p = call->params;
  size_t sizes[52 + BBW_ARRAY_RANK_MAX] = {0}; /* 0: not seen */
  bool is_seen[52 + BBW_ARRAY_RANK_MAX] = {false};
  uint8_t order[52 + BBW_ARRAY_RANK_MAX], number[52 + BBW_ARRAY_RANK_MAX];
  uint32_t wide[BBW_EINSUM_OPERANDS_MAX], widest = 0;
  for (uint32_t k = 0; k < p->operands; k++) {
    const bbw_array *x = call->inputs[k];
    const bbw_einsum_term *t = &p->terms[k];
    uint32_t letters = t->count - (t->has_ellipsis ? 1 : 0);
    if (x == NULL) { return bbw_call_refuse(call, (int32_t)k, "input is missing"); }
    if (x->dtype == BBW_DTYPE_BOOL) { return bbw_call_refuse_type(call, k); }
    if (x->dtype != call->inputs[0]->dtype) {
      return bbw_call_refuse(call, (int32_t)k, "inputs have different element types");
    }
    if (t->has_ellipsis ? x->rank < letters : x->rank != letters) {
      return bbw_call_refuse(call, (int32_t)k, "the equation names another number of axes");
    }
    wide[k] = x->rank - letters;
    widest = wide[k] > widest ? wide[k] : widest;
    for (uint32_t d = 0; d < x->rank; d++) {
      uint8_t c = letter_of(t, wide[k], d);
      if (is_seen[c] && sizes[c] != x->dims[d] && sizes[c] != 1 && x->dims[d] != 1) {
        return bbw_call_refuse(call, (int32_t)k, "axes of one letter have different sizes");
      }
      if (!is_seen[c] || sizes[c] == 1) { sizes[c] = x->dims[d]; }
      is_seen[c] = true;
    }
  }
  einsum_plan *plan = bbw_call_plan(call, sizeof *plan);
  if (plan == NULL) { return BBW_E_NOMEM; }
  const bbw_einsum_term *result = &p->terms[p->operands];
  uint32_t rank = result->count - (result->has_ellipsis ? 1 : 0) + (result->has_ellipsis ? widest : 0);
  size_t dims[BBW_ARRAY_RANK_MAX];
  if (rank > BBW_ARRAY_RANK_MAX) { return bbw_call_refuse(call, -1, "result has too many dimensions"); }
  bool is_kept[52 + BBW_ARRAY_RANK_MAX] = {false};
  for (uint32_t d = 0; d < rank; d++) {
    uint8_t c = letter_of(result, widest, d);
    if (!is_seen[c] || is_kept[c]) {
      return bbw_call_refuse(call, -1, "the result repeats a letter, or has one of no input");
    }
    is_kept[c] = true;
    order[plan->kept++] = c;
    dims[d] = sizes[c];
  }
  plan->all = plan->kept;
  for (uint8_t c = 0; c < sizeof is_seen; c++) {
    if (is_seen[c] && !is_kept[c] && plan->all < LETTERS_MAX) { order[plan->all++] = c; }
  }
  uint64_t products = 1;
  for (uint32_t i = 0; i < plan->all; i++) {
    plan->size[i] = sizes[order[i]];
    number[order[i]] = (uint8_t)i;
    if (plan->size[i] != 0 && products > PRODUCTS_MAX / plan->size[i]) {
      return bbw_call_refuse(call, -1, "the equation asks for too many products");
    }
    products *= plan->size[i] != 0 ? plan->size[i] : 1;
  }
  for (uint32_t k = 0; k < p->operands; k++) {
    size_t step = 1;
    for (uint32_t d = call->inputs[k]->rank; d-- > 0;) {
      uint32_t i = number[letter_of(&p->terms[k], wide[k], d)];
      if (call->inputs[k]->dims[d] != 1) { plan->step[k][i] += step; } /* a letter twice in a term walks the diagonal */
      step *= call->inputs[k]->dims[d];
    }
  }
  return bbw_call_output(call, 0, call->inputs[0]->dtype, rank, dims);
}

/* Moves to the next index of loops [from, to); false after the last. */
static bool next_index(const einsum_plan *plan, uint32_t operands, uint32_t from, uint32_t to, size_t *index,
                       size_t *at) {
  for (uint32_t d = to; d-- > from;) {
    for (uint32_t k = 0; k < operands; k++) { at[k] += plan->step[k][d]; }
    if (++index[d] < plan->size[d]) { return true; }
    for (uint32_t k = 0; k < operands; k++) { at[k] -= plan->step[k][d] * plan->size[d]; }
    index[d] = 0;
  }
  return false;
}

/* The sum of products over the innermost index, in f32 arrays: one of the two loops that matter for speed. */
static double dot_f32(const einsum_plan *plan, const bbw_array *const *x, const size_t *at, uint32_t last) {
  const float *a = (const float *)x[0]->data + at[0], *b = (const float *)x[1]->data + at[1];
  size_t a_step = plan->step[0][last], b_step = plan->step[1][last];
  double sum = 0.0;
  for (size_t i = 0; i < plan->size[last]; i++, a += a_step, b += b_step) { sum += (double)*a * (double)*b; }
  return sum;
}

bbw_status bbw_einsum_run(bbw_call *call) {
  const bbw_einsum_params *p = call->params;
  const einsum_plan *plan = call->plan;
  bbw_array *out = call->outputs[0];
  bool is_float = bbw_dtype_is_float(out->dtype), is_empty = false;
  size_t index[LETTERS_MAX] = {0}, at[BBW_EINSUM_OPERANDS_MAX] = {0};
  for (uint32_t i = plan->kept; i < plan->all; i++) { is_empty = is_empty || plan->size[i] == 0; }
  bool is_dot = out->dtype == BBW_DTYPE_F32 && p->operands == 2 && plan->all > plan->kept;
  for (size_t o = 0; o < out->count; o++) {
    double sum = 0.0;
    uint64_t whole_sum = 0;
    bool is_more = !is_empty;
    while (is_more) {
      double product = 1.0, factor;
      uint64_t whole_product = 1;
      int64_t whole_factor;
      if (is_dot) {
        sum += dot_f32(plan, call->inputs, at, plan->all - 1);
        is_more = next_index(plan, p->operands, plan->kept, plan->all - 1, index, at);
        continue;
      }
      for (uint32_t k = 0; k < p->operands; k++) {
        if (is_float) {
          bbw_load_f64(call->inputs[k], at[k], 1, &factor);
          product *= factor;
        } else {
          bbw_load_i64(call->inputs[k], at[k], 1, &whole_factor);
          whole_product *= (uint64_t)whole_factor;
        }
      }
      sum += product;
      whole_sum += whole_product;
      is_more = next_index(plan, p->operands, plan->kept, plan->all, index, at);
    }
    if (is_float) {
      bbw_store_f64(out, o, 1, &sum);
    } else {
      int64_t result = (int64_t)whole_sum;
      bbw_store_i64(out, o, 1, &result);
    }
    next_index(plan, p->operands, 0, plan->kept, index, at);
  }
  return BBW_OK;
}

/* ---- Det: of square matrices, by elimination with the largest pivot ---- */

bbw_status bbw_det_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0];
  if (!bbw_dtype_is_float(x->dtype)) { return bbw_call_refuse_type(call, 0); }
  if (x->rank < 2 || x->dims[x->rank - 1] != x->dims[x->rank - 2]) {
    return bbw_call_refuse(call, 0, "the last two dimensions must be equal");
  }
  size_t n = x->dims[x->rank - 1];
  if (!bbw_size_mul(n * n, sizeof(double), &call->scratch_bytes)) { return BBW_E_LIMIT; }
  return bbw_call_output(call, 0, x->dtype, x->rank - 2, x->dims);
}

static double determinant(double *a, size_t n) {
  double result = 1.0;
  for (size_t k = 0; k < n; k++) {
    size_t best = k;
    for (size_t i = k + 1; i < n; i++) { best = fabs(a[i * n + k]) > fabs(a[best * n + k]) ? i : best; }
    if (a[best * n + k] == 0.0) { return 0.0; }
    if (best != k) { result = -result; }
    for (size_t j = k; j < n; j++) {
      double kept = a[best * n + j];
      a[best * n + j] = a[k * n + j];
      a[k * n + j] = kept;
    }
    result *= a[k * n + k];
    for (size_t i = k + 1; i < n; i++) {
      double factor = a[i * n + k] / a[k * n + k];
      for (size_t j = k + 1; j < n; j++) { a[i * n + j] -= factor * a[k * n + j]; }
    }
  }
  return result;
}

bbw_status bbw_det_run(bbw_call *call) {
  const bbw_array *x = call->inputs[0];
  size_t n = x->dims[x->rank - 1];
  for (size_t i = 0; i < call->outputs[0]->count; i++) {
    bbw_load_f64(x, i * n * n, n * n, call->scratch);
    double result = determinant(call->scratch, n);
    bbw_store_f64(call->outputs[0], i, 1, &result);
  }
  return BBW_OK;
}

/* Its gradient: the cofactors, which exist for matrices without an inverse too.  Inputs: g, x. */
#define COFACTOR_ROWS_MAX 32u /* n^5 operations */

bbw_status bbw_det_grad_infer(bbw_call *call) {
  const bbw_array *g = call->inputs[0], *x = call->inputs[1];
  if (g->dtype != BBW_DTYPE_F32 || x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  size_t n = x->dims[x->rank - 1];
  if (n > COFACTOR_ROWS_MAX) { return bbw_call_refuse(call, 1, "a matrix of more than 32 rows has no gradient"); }
  call->scratch_bytes = n * n * sizeof(double);
  return bbw_call_output_like(call, 0, x);
}

bbw_status bbw_det_grad_run(bbw_call *call) {
  const bbw_array *g = call->inputs[0], *x = call->inputs[1];
  size_t n = x->dims[x->rank - 1];
  float *out = call->outputs[0]->data;
  for (size_t i = 0; i < call->outputs[0]->count; i++) {
    size_t matrix = i / (n * n), row = i / n % n, column = i % n, at = 0;
    double *minor = call->scratch;
    for (size_t k = 0; k < n * n; k++) {
      if (k / n != row && k % n != column) { minor[at++] = (double)((const float *)x->data)[matrix * n * n + k]; }
    }
    double cofactor = determinant(minor, n - 1);
    out[i] = (float)((row + column) % 2 == 0 ? cofactor : -cofactor) * ((const float *)g->data)[matrix];
  }
  return BBW_OK;
}
