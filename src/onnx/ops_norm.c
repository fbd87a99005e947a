/* Normalization over batches, layers, instances, groups and neighbouring channels (f32). */
#include <math.h>

#include "base/mem.h"
#include "kernels/math_f64.h"
#include "kernels/norm.h"
#include "onnx/ops.h"
#include "onnx/params.h"

static bbw_status check_vector(bbw_call *call, uint32_t input, size_t count) {
  const bbw_array *x = bbw_call_input(call, input);
  if (x == NULL) { return BBW_OK; }
  if (x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, input); }
  if (x->count != count) {
    return bbw_call_refuse(call, (int32_t)input, "has another number of elements than there are channels");
  }
  return BBW_OK;
}

static const float *floats(const bbw_call *call, uint32_t input) {
  const bbw_array *x = bbw_call_input(call, input);
  return x != NULL ? x->data : NULL;
}

/* Input 0 as [outer, channels, inner]. */
typedef struct channel_plan {
  size_t outer, channels, inner;
} channel_plan;

static bbw_status plan_channels(bbw_call *call, uint32_t rank_min, channel_plan **out) {
  const bbw_array *x = call->inputs[0];
  channel_plan *s = bbw_call_plan(call, sizeof *s);
  if (s == NULL) { return BBW_E_NOMEM; }
  if (x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  if (x->rank < rank_min) { return bbw_call_refuse(call, 0, "has too few dimensions"); }
  s->outer = x->rank > 1 ? x->dims[0] : 1;
  s->channels = x->rank > 1 ? x->dims[1] : x->dims[0];
  s->inner = bbw_dims_product(x->dims, x->rank > 1 ? 2 : 1, x->rank);
  *out = s;
  return BBW_OK;
}

/* ---- BatchNormalization ---- */

bbw_status bbw_batch_norm_prepare(bbw_prep *prep) {
  bbw_batch_norm_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_float(prep, "epsilon", 1e-5f, &p->epsilon));
  BBW_TRY(bbw_prep_float(prep, "momentum", 0.9f, &p->momentum));
  BBW_TRY(bbw_prep_bool(prep, "training_mode", false, &p->is_training));
  if (prep->opset < 14 && prep->output_count > 1) {
    return bbw_prep_unsupported(prep, NULL, "training outputs of this opset are not supported");
  }
  if (!p->is_training && prep->output_count > 1) {
    return bbw_prep_refuse(prep, "training_mode", "more than one output is for training");
  }
  return BBW_OK;
}

bbw_status bbw_batch_norm_infer(bbw_call *call) {
  const bbw_batch_norm_params *p = call->params;
  channel_plan *s;
  BBW_TRY(plan_channels(call, 1, &s));
  for (uint32_t i = 1; i < 5; i++) { BBW_TRY(check_vector(call, i, s->channels)); }
  BBW_TRY(bbw_call_output_like(call, 0, call->inputs[0]));
  BBW_TRY(bbw_call_output(call, 1, BBW_DTYPE_F32, 1, &s->channels));
  BBW_TRY(bbw_call_output(call, 2, BBW_DTYPE_F32, 1, &s->channels));
  if (call->packed == NULL || p->is_training) { call->scratch_bytes = 2 * s->channels * sizeof(float); }
  return BBW_OK;
}

/* y = x * scale + shift is the normalization with that mean and variance. */
static void scale_shift(float gamma, float beta, float mean, float variance, float epsilon, float *scale,
                        float *shift) {
  *scale = gamma / sqrtf(variance + epsilon);
  *shift = beta - mean * *scale;
}

/* Mean and variance of every channel of this batch; sums in f64, image by image. */
static void batch_statistics(const channel_plan *s, const float *x, size_t channel, float *mean, float *variance) {
  double sum = 0.0, squares = 0.0, count = (double)(s->outer * s->inner);
  for (size_t o = 0; o < s->outer; o++) {
    const float *run = x + (o * s->channels + channel) * s->inner;
    for (size_t i = 0; i < s->inner; i++) { sum = sum + (double)run[i]; }
  }
  double middle = sum / count;
  for (size_t o = 0; o < s->outer; o++) {
    const float *run = x + (o * s->channels + channel) * s->inner;
    for (size_t i = 0; i < s->inner; i++) { squares = squares + ((double)run[i] - middle) * ((double)run[i] - middle); }
  }
  *mean = (float)middle;
  *variance = (float)(squares / count);
}

bbw_status bbw_batch_norm_run(bbw_call *call) {
  const bbw_batch_norm_params *p = call->params;
  const channel_plan *s = call->plan;
  const float *x = call->inputs[0]->data, *scale = call->packed, *shift;
  if (call->packed != NULL && !p->is_training) {
    shift = scale + s->channels;
  } else {
    float *made = call->scratch;
    const float *gamma = floats(call, 1), *beta = floats(call, 2), *means = floats(call, 3),
                *variances = floats(call, 4);
    for (size_t c = 0; c < s->channels; c++) {
      float mean = means[c], variance = variances[c];
      if (p->is_training) {
        batch_statistics(s, x, c, &mean, &variance);
        bbw_array *running_mean = bbw_call_result(call, 1), *running_variance = bbw_call_result(call, 2);
        if (running_mean != NULL) {
          ((float *)running_mean->data)[c] = means[c] * p->momentum + mean * (1.0f - p->momentum);
        }
        if (running_variance != NULL) {
          ((float *)running_variance->data)[c] = variances[c] * p->momentum + variance * (1.0f - p->momentum);
        }
      }
      scale_shift(gamma[c], beta[c], mean, variance, p->epsilon, &made[c], &made[s->channels + c]);
    }
    scale = made;
    shift = made + s->channels;
  }
  if (call->outputs[0] != NULL) {
    bbw_scale_shift_f32_simd128(x, scale, shift, call->outputs[0]->data, s->outer, s->channels, s->inner);
  }
  return BBW_OK;
}

/* Scale and shift, when the model fixes all four vectors. */
bbw_status bbw_batch_norm_pack(bbw_onnx_pack *pack) {
  const bbw_batch_norm_params *p = pack->params;
  for (uint32_t i = 1; i < 5; i++) {
    const bbw_array *x = pack->constants[i];
    if (x == NULL || x->dtype != BBW_DTYPE_F32 || x->count == 0 || x->count != pack->constants[1]->count) {
      return BBW_OK;
    }
  }
  if (p->is_training) { return BBW_OK; }
  size_t channels = pack->constants[1]->count;
  if (pack->packed == NULL) {
    pack->bytes = 2 * channels * sizeof(float);
    return BBW_OK;
  }
  const float *gamma = pack->constants[1]->data, *beta = pack->constants[2]->data, *mean = pack->constants[3]->data,
              *variance = pack->constants[4]->data;
  float *scale = pack->packed;
  for (size_t c = 0; c < channels; c++) {
    scale_shift(gamma[c], beta[c], mean[c], variance[c], p->epsilon, &scale[c], &scale[channels + c]);
  }
  pack->replaced = 0x1eu;
  return BBW_OK;
}

/* ---- InstanceNormalization, GroupNormalization ---- */

typedef bbw_group_norm_params group_params;

bbw_status bbw_group_norm_prepare(bbw_prep *prep) {
  group_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_float(prep, "epsilon", 1e-5f, &p->epsilon));
  BBW_TRY(bbw_prep_int(prep, "num_groups", 0, &p->groups));
  return p->groups < 0 ? bbw_prep_refuse(prep, "num_groups", "must be positive") : BBW_OK;
}

bbw_status bbw_group_norm_infer(bbw_call *call) {
  const group_params *p = call->params;
  channel_plan *s;
  BBW_TRY(plan_channels(call, 3, &s));
  BBW_TRY(check_vector(call, 1, s->channels));
  BBW_TRY(check_vector(call, 2, s->channels));
  if (p->groups > 0 && ((uint64_t)p->groups > s->channels || s->channels % (size_t)p->groups != 0)) {
    return bbw_call_refuse(call, 0, "the channels cannot be divided into num_groups");
  }
  return bbw_call_output_like(call, 0, call->inputs[0]);
}

bbw_status bbw_group_norm_run(bbw_call *call) {
  const group_params *p = call->params;
  const channel_plan *s = call->plan;
  if (call->outputs[0]->count == 0) { return BBW_OK; }
  bbw_group_norm_f32_simd128(call->inputs[0]->data, floats(call, 1), floats(call, 2), p->epsilon,
                             call->outputs[0]->data, s->outer, s->channels, s->inner,
                             p->groups > 0 ? (size_t)p->groups : s->channels);
  return BBW_OK;
}

/* ---- LayerNormalization ---- */

bbw_status bbw_layer_norm_prepare(bbw_prep *prep) {
  bbw_layer_norm_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_float(prep, "epsilon", 1e-5f, &p->epsilon));
  return bbw_prep_int(prep, "axis", -1, &p->axis);
}

typedef struct layer_plan {
  size_t rows, length;
  size_t spread; /* 0, or the length of gamma and beta where rows have one element */
} layer_plan;

bbw_status bbw_layer_norm_infer(bbw_call *call) {
  const bbw_layer_norm_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  layer_plan *s = bbw_call_plan(call, sizeof *s);
  uint32_t axis;
  if (s == NULL) { return BBW_E_NOMEM; }
  if (x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  BBW_TRY(bbw_call_axis(call, p->axis, x->rank, &axis));
  s->rows = bbw_dims_product(x->dims, 0, axis);
  s->length = bbw_dims_product(x->dims, axis, x->rank);
  for (uint32_t i = 1; i < 3; i++) {
    const bbw_array *g = bbw_call_input(call, i);
    if (g == NULL) { continue; }
    if (g->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, i); }
    if (p->is_fused && s->length == 1 && g->count > 1) {
      s->spread = g->count; /* gamma and beta are of one length: fuse.c */
      continue;
    }
    if (g->count != s->length) {
      return bbw_call_refuse(call, (int32_t)i, "must have the shape of what is normalized");
    }
  }
  size_t dims[BBW_ARRAY_RANK_MAX];
  for (uint32_t d = 0; d < x->rank; d++) { dims[d] = d < axis ? x->dims[d] : 1; }
  if (s->spread > 0) {
    dims[x->rank - 1] = s->spread;
    return bbw_call_output(call, 0, BBW_DTYPE_F32, x->rank, dims);
  }
  BBW_TRY(bbw_call_output_like(call, 0, x));
  BBW_TRY(bbw_call_output(call, 1, BBW_DTYPE_F32, x->rank, dims));
  return bbw_call_output(call, 2, BBW_DTYPE_F32, x->rank, dims);
}

bbw_status bbw_layer_norm_run(bbw_call *call) {
  const bbw_layer_norm_params *p = call->params;
  const layer_plan *s = call->plan;
  bbw_array *means = bbw_call_result(call, 1), *inverses = bbw_call_result(call, 2);
  if (s->rows * s->length == 0) { return BBW_OK; }
  for (size_t i = 0; i < s->rows * s->spread; i++) { /* the one element is its own mean */
    float x = ((const float *)call->inputs[0]->data)[i / s->spread];
    ((float *)call->outputs[0]->data)[i] = (x - x) / sqrtf((x - x) * (x - x) + p->epsilon) *
                                               floats(call, 1)[i % s->spread] +
                                           floats(call, 2)[i % s->spread];
  }
  if (s->spread > 0) { return BBW_OK; }
  bbw_layer_norm_f32_simd128(call->inputs[0]->data, floats(call, 1), floats(call, 2), p->epsilon,
                             call->outputs[0]->data, means != NULL ? means->data : NULL,
                             inverses != NULL ? inverses->data : NULL, s->rows, s->length);
  return BBW_OK;
}

/* ---- LRN ---- */

typedef struct lrn_params {
  float alpha, beta, bias;
  int64_t size;
} lrn_params;

bbw_status bbw_lrn_prepare(bbw_prep *prep) {
  lrn_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_float(prep, "alpha", 1e-4f, &p->alpha));
  BBW_TRY(bbw_prep_float(prep, "beta", 0.75f, &p->beta));
  BBW_TRY(bbw_prep_float(prep, "bias", 1.0f, &p->bias));
  BBW_TRY(bbw_prep_int(prep, "size", 0, &p->size));
  return p->size < 1 || p->size > INT32_MAX ? bbw_prep_refuse(prep, "size", "must be positive") : BBW_OK;
}

bbw_status bbw_lrn_infer(bbw_call *call) {
  channel_plan *s;
  BBW_TRY(plan_channels(call, 2, &s));
  return bbw_call_output_like(call, 0, call->inputs[0]);
}

bbw_status bbw_lrn_run(bbw_call *call) {
  const lrn_params *p = call->params;
  const channel_plan *s = call->plan;
  bbw_lrn_f32_simd128(call->inputs[0]->data, call->outputs[0]->data, s->outer, s->channels, s->inner, (size_t)p->size,
                      p->alpha, p->beta, p->bias);
  return BBW_OK;
}

/* Its gradient, with s = bias + alpha / size * (sum of the squares around) and y = x / s^beta.  Inputs: x, g. */
bbw_status bbw_lrn_grad_infer(bbw_call *call) {
  channel_plan *s;
  if (call->inputs[1]->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 1); }
  BBW_TRY(plan_channels(call, 2, &s));
  if (!bbw_size_mul(s->channels, 2 * sizeof(double), &call->scratch_bytes)) { return BBW_E_LIMIT; }
  return bbw_call_output_like(call, 0, call->inputs[0]);
}

bbw_status bbw_lrn_grad_run(bbw_call *call) {
  const lrn_params *p = call->params;
  const channel_plan *s = call->plan;
  const float *x = call->inputs[0]->data, *g = call->inputs[1]->data;
  float *out = call->outputs[0]->data;
  double *power = call->scratch, *through = power + s->channels, factor = (double)p->alpha / (double)p->size;
  size_t below = (size_t)(p->size - 1) / 2,
         above = (size_t)p->size - 1 - below; /* channels around that a sum takes in */
  for (size_t i = 0; i < s->outer * s->inner; i++) {
    size_t start = i / s->inner * s->channels * s->inner + i % s->inner;
    for (size_t c = 0; c < s->channels; c++) {
      double sum = 0.0;
      for (size_t k = c > below ? c - below : 0; k < s->channels && k <= c + above; k++) {
        double number = (double)x[start + k * s->inner];
        sum += number * number;
      }
      sum = (double)p->bias + factor * sum;
      power[c] = bbw_pow_f64(sum, -(double)p->beta);
      through[c] = (double)g[start + c * s->inner] * (double)x[start + c * s->inner] * power[c] / sum;
    }
    for (size_t c = 0; c < s->channels; c++) {
      double sum = 0.0;
      for (size_t k = c > above ? c - above : 0; k < s->channels && k <= c + below; k++) { sum += through[k]; }
      size_t at = start + c * s->inner;
      out[at] = (float)((double)g[at] * power[c] - 2.0 * factor * (double)p->beta * (double)x[at] * sum);
    }
  }
  return BBW_OK;
}
