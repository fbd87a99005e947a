/*
 * Gradients of MatMul: g . b^T and a^T . g, summed over the batches that the operand was repeated for.
 *
 * Inputs: g, the other operand, the operand whose gradient it is (its shape).  f32.
 */
#include <string.h>

#include "base/mem.h"
#include "kernels/gemm.h"
#include "onnx/batch.h"
#include "onnx/ops.h"

const uint32_t bbw_grad_of_right = 1;

typedef struct plan {
  size_t m, n, k; /* of the forward product: a [m,k], b [k,n], g [m,n] */
  bbw_batch batch;
  size_t count;    /* products */
  bool is_joined;  /* all of them as one tall product */
  bool is_cleared; /* places of the result are visited more than once */
} plan;

/* All products share b, and a lies behind each other: rows of one tall matrix. */
static bool can_join(const plan *s) {
  size_t step = 1;
  for (uint32_t d = s->batch.rank; d-- > 0;) {
    if (s->batch.dims[d] != 1 && (s->batch.b_steps[d] != 0 || s->batch.a_steps[d] != step)) { return false; }
    step *= s->batch.dims[d];
  }
  return true;
}

static bbw_gemm product(const plan *s, bool is_right) {
  bbw_gemm g = {.alpha = 1.0f};
  size_t m = s->is_joined ? s->m * s->count : s->m;
  if (is_right) { /* [k,n] = a^T [k,m] . g [m,n] */
    g.m = s->k;
    g.n = s->n;
    g.k = m;
    g.is_a_transposed = true;
    g.lda = s->k;
    g.ldb = g.ldc = s->n;
  } else { /* [m,k] = g [m,n] . b^T [n,k] */
    g.m = m;
    g.n = s->k;
    g.k = s->n;
    g.is_b_transposed = true;
    g.lda = g.ldb = s->n;
    g.ldc = s->k;
  }
  return g;
}

bbw_status bbw_matmul_grad_infer(bbw_call *call) {
  bool is_right = call->op->ctx != NULL;
  const bbw_array *g = call->inputs[0], *a = call->inputs[is_right ? 1 : 2], *b = call->inputs[is_right ? 2 : 1];
  plan *s = bbw_call_plan(call, sizeof *s);
  if (s == NULL) { return BBW_E_NOMEM; }
  if (g->dtype != BBW_DTYPE_F32 || call->inputs[1]->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  s->m = a->rank > 1 ? a->dims[a->rank - 2] : 1;
  s->k = a->dims[a->rank - 1];
  s->n = b->rank > 1 ? b->dims[b->rank - 1] : 1;
  BBW_TRY(bbw_batch_plan(call, a, b, &s->batch));
  s->count = bbw_batch_count(&s->batch);
  s->is_joined = can_join(s);
  const bbw_array *of = is_right ? b : a;
  size_t each = is_right ? s->k * s->n : s->m * s->k;
  s->is_cleared = of->count == 0 || each == 0 || of->count / each != s->count || (is_right ? s->m : s->n) == 0;
  bbw_gemm p = product(s, is_right);
  call->scratch_bytes = bbw_gemm_f32_run_scratch(&p) * sizeof(float);
  return bbw_call_output(call, 0, BBW_DTYPE_F32, of->rank, of->dims);
}

bbw_status bbw_matmul_grad_run(bbw_call *call) {
  bool is_right = call->op->ctx != NULL;
  const plan *s = call->plan;
  const float *g = call->inputs[0]->data, *other = call->inputs[1]->data;
  bbw_array *out = call->outputs[0];
  bbw_gemm p = product(s, is_right);
  bbw_batch_place at = {0};
  if (out->count == 0) { return BBW_OK; }
  if (s->is_joined) {
    p.a = is_right ? other : g;
    p.b = is_right ? g : other;
    p.c = out->data;
    bbw_gemm_f32_run_simd128(&p, call->scratch);
    return BBW_OK;
  }
  if (s->is_cleared) { memset(out->data, 0, bbw_array_bytes(out)); }
  p.is_accumulating = s->is_cleared;
  for (size_t i = 0; i < s->count; i++) {
    const float *from = g + i * s->m * s->n;
    p.a = is_right ? other + at.a * s->m * s->k : from;
    p.b = is_right ? from : other + at.b * s->k * s->n;
    p.c = (float *)out->data + (is_right ? at.b * s->k * s->n : at.a * s->m * s->k);
    bbw_gemm_f32_run_simd128(&p, call->scratch);
    bbw_batch_next(&s->batch, &at);
  }
  return BBW_OK;
}
