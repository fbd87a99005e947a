/* MatMul and Gemm. Weights that the model fixes are packed once. */
#include <string.h>

#include "base/mem.h"
#include "kernels/gemm.h"
#include "onnx/batch.h"
#include "onnx/convert.h"
#include "onnx/fused.h"
#include "onnx/ops.h"
#include "onnx/params.h"

/* ---- f32: one product per matrix of the batch ---- */

typedef struct plan {
  size_t m, n, k;
  bbw_batch batch;
  size_t count; /* products */
} plan;

/* Shapes of matrices, with a vector as one row (left) or one column (right). */
static bbw_status plan_matmul(bbw_call *call, plan *s) {
  const bbw_array *a = call->inputs[0], *b = call->inputs[1];
  if (a->rank == 0 || b->rank == 0) { return bbw_call_refuse(call, a->rank == 0 ? 0 : 1, "a number is no matrix"); }
  s->m = a->rank > 1 ? a->dims[a->rank - 2] : 1;
  s->k = a->dims[a->rank - 1];
  s->n = b->rank > 1 ? b->dims[b->rank - 1] : 1;
  if ((b->rank > 1 ? b->dims[b->rank - 2] : b->dims[0]) != s->k) {
    return bbw_call_refuse(call, -1, "the inner dimensions are not equal");
  }
  BBW_TRY(bbw_batch_plan(call, a, b, &s->batch));
  size_t dims[BBW_ARRAY_RANK_MAX];
  uint32_t rank = s->batch.rank;
  memcpy(dims, s->batch.dims, rank * sizeof *dims);
  if (a->rank > 1) { dims[rank++] = s->m; }
  if (b->rank > 1) { dims[rank++] = s->n; }
  BBW_TRY(bbw_call_output(call, 0, a->dtype, rank, dims));
  s->count = bbw_batch_count(&s->batch);
  return BBW_OK;
}

/* Matrices of a shared right operand lie behind each other on the left: one tall product instead of many. */
static void join_batch(plan *s) {
  const bbw_batch *batch = &s->batch;
  size_t step = 1;
  for (uint32_t d = batch->rank; d-- > 0;) {
    if (batch->dims[d] != 1 && (batch->b_steps[d] != 0 || batch->a_steps[d] != step)) { return; }
    step *= batch->dims[d];
  }
  s->m *= s->count;
  s->count = 1;
  s->batch.rank = 0;
}

bbw_status bbw_matmul_prepare(bbw_prep *prep) {
  return bbw_prep_params(prep, sizeof(bbw_fused)) != NULL ? BBW_OK : BBW_E_NOMEM;
}

bbw_status bbw_matmul_infer(bbw_call *call) {
  const bbw_array *a = call->inputs[0], *b = call->inputs[1];
  if (a->dtype != b->dtype) { return bbw_call_refuse(call, 1, "inputs have different element types"); }
  if (a->dtype == BBW_DTYPE_BOOL) { return bbw_call_refuse_type(call, 0); }
  plan *s = bbw_call_plan(call, sizeof *s);
  if (s == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(plan_matmul(call, s));
  if (a->dtype != BBW_DTYPE_F32) { return BBW_OK; }
  join_batch(s);
  bbw_gemm g = {.m = s->m, .n = s->n, .k = s->k, .is_b_packed = call->packed != NULL};
  call->scratch_bytes = bbw_gemm_f32_run_scratch(&g) * sizeof(float);
  return BBW_OK;
}

/* Any other type: sums in f64 or, for whole numbers, in int64 that wraps. */
static void multiply_wide(const plan *s, const bbw_array *a, size_t a_at, const bbw_array *b, size_t b_at, bbw_array *c,
                          size_t c_at) {
  bool is_float = bbw_dtype_is_float(a->dtype);
  for (size_t i = 0; i < s->m; i++) {
    for (size_t j = 0; j < s->n; j++) {
      double sum = 0.0;
      uint64_t whole = 0;
      for (size_t p = 0; p < s->k; p++) {
        if (is_float) {
          double x, y;
          bbw_load_f64(a, a_at + i * s->k + p, 1, &x);
          bbw_load_f64(b, b_at + p * s->n + j, 1, &y);
          sum = sum + x * y;
        } else {
          int64_t x, y;
          bbw_load_i64(a, a_at + i * s->k + p, 1, &x);
          bbw_load_i64(b, b_at + p * s->n + j, 1, &y);
          whole += (uint64_t)x * (uint64_t)y;
        }
      }
      int64_t number = (int64_t)whole;
      if (is_float) {
        bbw_store_f64(c, c_at + i * s->n + j, 1, &sum);
      } else {
        bbw_store_i64(c, c_at + i * s->n + j, 1, &number);
      }
    }
  }
}

bbw_status bbw_matmul_run(bbw_call *call) {
  const bbw_fused *fused = call->params;
  const plan *s = call->plan;
  const bbw_array *a = call->inputs[0], *b = call->inputs[1];
  bbw_array *c = call->outputs[0];
  bbw_batch_place at = {0};
  if (c->count == 0) { return BBW_OK; }
  for (size_t i = 0; i < s->count; i++) {
    if (a->dtype != BBW_DTYPE_F32) {
      multiply_wide(s, a, at.a * s->m * s->k, b, at.b * s->k * s->n, c, i * s->m * s->n);
    } else {
      bbw_gemm g = {.m = s->m, .n = s->n, .k = s->k, .lda = s->k, .ldb = s->n, .ldc = s->n, .alpha = 1.0f};
      if (s->k > 0) { g.a = (const float *)a->data + at.a * s->m * s->k; }
      if (call->packed != NULL) {
        g.b = call->packed;
        g.is_b_packed = true;
      } else if (s->k > 0) {
        g.b = (const float *)b->data + at.b * s->k * s->n;
      }
      g.c = (float *)c->data + i * s->m * s->n;
      bbw_fused_set(fused, &g.epilogue);
      if (fused->has_bias) { g.epilogue.column_bias = call->inputs[2]->data; }
      bbw_gemm_f32_run_simd128(&g, call->scratch);
    }
    bbw_batch_next(&s->batch, &at);
  }
  return BBW_OK;
}

/* A constant right operand that is one matrix. */
bbw_status bbw_matmul_pack(bbw_onnx_pack *pack) {
  const bbw_array *b = pack->constants[1];
  if (b == NULL || b->dtype != BBW_DTYPE_F32 || b->rank != 2 || b->count == 0) { return BBW_OK; }
  if (pack->packed == NULL) {
    size_t floats = bbw_gemm_f32_pack_b_size(b->dims[1], b->dims[0]);
    if (!bbw_size_mul(floats, sizeof(float), &pack->bytes)) { pack->bytes = 0; }
    return BBW_OK;
  }
  bbw_gemm_f32_pack_b(pack->packed, b->data, b->dims[1], false, b->dims[1], b->dims[0]);
  pack->replaced = 1u << 1;
  return BBW_OK;
}

/* ---- Gemm ---- */

bbw_status bbw_gemm_prepare(bbw_prep *prep) {
  bbw_gemm_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_float(prep, "alpha", 1.0f, &p->alpha));
  BBW_TRY(bbw_prep_float(prep, "beta", 1.0f, &p->beta));
  BBW_TRY(bbw_prep_bool(prep, "transA", false, &p->is_a_transposed));
  return bbw_prep_bool(prep, "transB", false, &p->is_b_transposed);
}

typedef struct gemm_plan {
  size_t m, n, k;
  size_t c_rows, c_columns; /* of input C, spread over the result */
} gemm_plan;

bbw_status bbw_gemm_infer(bbw_call *call) {
  const bbw_gemm_params *p = call->params;
  const bbw_array *a = call->inputs[0], *b = call->inputs[1], *c = bbw_call_input(call, 2);
  gemm_plan *s = bbw_call_plan(call, sizeof *s);
  if (s == NULL) { return BBW_E_NOMEM; }
  if (!bbw_dtype_is_float(a->dtype) && !bbw_dtype_is_integer(a->dtype)) { return bbw_call_refuse_type(call, 0); }
  if (b->dtype != a->dtype || (c != NULL && c->dtype != a->dtype)) {
    return bbw_call_refuse(call, -1, "inputs have different element types");
  }
  if (a->rank != 2 || b->rank != 2) { return bbw_call_refuse(call, a->rank != 2 ? 0 : 1, "must be a matrix"); }
  s->m = a->dims[p->is_a_transposed ? 1 : 0];
  s->k = a->dims[p->is_a_transposed ? 0 : 1];
  s->n = b->dims[p->is_b_transposed ? 0 : 1];
  if (b->dims[p->is_b_transposed ? 1 : 0] != s->k) {
    return bbw_call_refuse(call, -1, "the inner dimensions are not equal");
  }
  if (c != NULL) {
    if (c->rank > 2) { return bbw_call_refuse(call, 2, "has too many dimensions"); }
    s->c_columns = c->rank > 0 ? c->dims[c->rank - 1] : 1;
    s->c_rows = c->rank > 1 ? c->dims[0] : 1;
    if ((s->c_columns != 1 && s->c_columns != s->n) || (s->c_rows != 1 && s->c_rows != s->m)) {
      return bbw_call_refuse(call, 2, "cannot be spread over the result");
    }
  }
  const size_t dims[] = {s->m, s->n};
  BBW_TRY(bbw_call_output(call, 0, a->dtype, 2, dims));
  if (a->dtype != BBW_DTYPE_F32) { return BBW_OK; }
  bbw_gemm g = {.m = s->m,
                .n = s->n,
                .k = s->k,
                .is_a_transposed = p->is_a_transposed,
                .is_b_transposed = p->is_b_transposed,
                .is_b_packed = call->packed != NULL};
  call->scratch_bytes = bbw_gemm_f32_run_scratch(&g) * sizeof(float);
  return BBW_OK;
}

static void gemm_wide(const bbw_gemm_params *p, const gemm_plan *s, bbw_call *call) {
  const bbw_array *a = call->inputs[0], *b = call->inputs[1], *c = bbw_call_input(call, 2);
  bbw_array *out = call->outputs[0];
  for (size_t i = 0; i < s->m; i++) {
    for (size_t j = 0; j < s->n; j++) {
      double sum = 0.0, x, y;
      for (size_t q = 0; q < s->k; q++) {
        bbw_load_f64(a, p->is_a_transposed ? q * s->m + i : i * s->k + q, 1, &x);
        bbw_load_f64(b, p->is_b_transposed ? j * s->k + q : q * s->n + j, 1, &y);
        sum = sum + x * y;
      }
      sum = sum * (double)p->alpha;
      if (c != NULL) {
        bbw_load_f64(c, (s->c_rows == 1 ? 0 : i * s->c_columns) + (s->c_columns == 1 ? 0 : j), 1, &x);
        sum = sum + x * (double)p->beta;
      }
      bbw_store_f64(out, i * s->n + j, 1, &sum);
    }
  }
}

bbw_status bbw_gemm_run(bbw_call *call) {
  const bbw_gemm_params *p = call->params;
  const gemm_plan *s = call->plan;
  const bbw_array *c = bbw_call_input(call, 2);
  bbw_array *out = call->outputs[0];
  if (out->count == 0) { return BBW_OK; }
  if (out->dtype != BBW_DTYPE_F32) {
    gemm_wide(p, s, call);
    return BBW_OK;
  }
  bbw_gemm g = {.m = s->m,
                .n = s->n,
                .k = s->k,
                .lda = p->is_a_transposed ? s->m : s->k,
                .ldb = p->is_b_transposed ? s->k : s->n,
                .ldc = s->n,
                .a = call->inputs[0]->data,
                .b = call->inputs[1]->data,
                .c = out->data,
                .alpha = p->alpha,
                .is_a_transposed = p->is_a_transposed,
                .is_b_transposed = p->is_b_transposed};
  if (call->packed != NULL) {
    g.b = call->packed;
    g.is_b_packed = true;
    g.is_b_transposed = false;
  }
  bbw_fused_set(&p->fused, &g.epilogue);
  if (c != NULL && p->beta != 0.0f) {
    bool is_row = s->c_rows == 1 && s->c_columns == s->n, is_whole = p->beta == 1.0f;
    if (is_whole && is_row) {
      g.epilogue.column_bias = c->data;
    } else { /* C goes into the result first, times beta */
      for (size_t i = 0; i < s->m; i++) {
        const float *row = (const float *)c->data + (s->c_rows == 1 ? 0 : i * s->c_columns);
        float *to = (float *)out->data + i * s->n;
        for (size_t j = 0; j < s->n; j++) { to[j] = p->beta * row[s->c_columns == 1 ? 0 : j]; }
      }
      g.is_accumulating = true;
    }
  }
  bbw_gemm_f32_run_simd128(&g, call->scratch);
  return BBW_OK;
}

bbw_status bbw_gemm_pack(bbw_onnx_pack *pack) {
  const bbw_gemm_params *p = pack->params;
  const bbw_array *b = pack->constants[1];
  if (b == NULL || b->dtype != BBW_DTYPE_F32 || b->rank != 2 || b->count == 0) { return BBW_OK; }
  size_t n = b->dims[p->is_b_transposed ? 0 : 1], k = b->dims[p->is_b_transposed ? 1 : 0];
  if (pack->packed == NULL) {
    size_t floats = bbw_gemm_f32_pack_b_size(n, k);
    if (!bbw_size_mul(floats, sizeof(float), &pack->bytes)) { pack->bytes = 0; }
    return BBW_OK;
  }
  bbw_gemm_f32_pack_b(pack->packed, b->data, b->dims[1], p->is_b_transposed, n, k);
  pack->replaced = 1u << 1;
  return BBW_OK;
}
