#include "components/onnx_net.h"

#include <math.h>
#include <string.h>

#include "autodiff/onnx_plan.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kernels/elementwise.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"

/* Samples that evaluate runs at once. */
#define EVALUATE_PIECE 256u

struct bbw_onnx_net {
  const bbw_mem *mem;
  bbw_plan plan;
  bbw_plan_workspace ws;
  bool has_probabilities; /* the graph ends in Softmax */
  float *parameters;
  float *spare;    /* as many: what the parameters become, or were */
  float *gradient; /* as many; NULL before the first training */
  uint32_t *order; /* of the samples in training */
  size_t order_count;
  size_t kept; /* samples of the last forward whose activations are still there, 0 if none */
};

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

static bbw_status refuse(bbw_error *err, bbw_status status, const char *detail) {
  bbw_error_set(err, status);
  bbw_error_add_str(err, "detail", (bbw_str){detail, strlen(detail)});
  return status;
}

/* ---- making and freeing ---- */

static bool ends_in_softmax(const bbw_plan *plan) {
  if (plan->logits == plan->output) { return false; }
  const bbw_plan_step *s = NULL;
  for (size_t i = 0; i < plan->steps.count; i++) {
    s = BBW_VEC_AT(&plan->steps, bbw_plan_step, i);
    if (s->out == plan->output) { break; }
  }
  return s != NULL && s->kind == BBW_PLAN_SOFTMAX;
}

/* The parts that need the decoded model; the arena holds it and dies with the caller. */
static bbw_status read_model(bbw_onnx_net *net, bbw_bytes bytes, bbw_arena *arena, bbw_error *err) {
  bbw_onnx_model model;
  bbw_status rv = bbw_proto_decode(&model, &bbw_onnx_model_type, bytes, arena, err);
  if (rv != BBW_OK) { return rv; }
  rv = bbw_onnx_plan_build(&net->plan, &model, arena, err);
  if (rv != BBW_OK) { return rv; }
  size_t count = net->plan.parameter_count;
  net->has_probabilities = ends_in_softmax(&net->plan);
  if (count == 0) { return BBW_OK; }
  net->parameters = bbw_mem_array(net->mem, count, sizeof(float));
  net->spare = bbw_mem_array(net->mem, count, sizeof(float));
  if (net->parameters == NULL || net->spare == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  bbw_onnx_plan_parameters(&model, net->parameters);
  if (!bbw_is_finite_f32(net->parameters, count)) {
    return refuse(err, BBW_E_NOT_FINITE, "an initializer is not finite");
  }
  return BBW_OK;
}

bbw_status bbw_onnx_net_new(bbw_onnx_net **out, bbw_bytes model, const bbw_mem *mem, bbw_error *err) {
  bbw_onnx_net *net = bbw_mem_array(mem, 1, sizeof *net);
  if (net == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  net->mem = mem;
  bbw_plan_init(&net->plan, mem);
  bbw_arena arena;
  bbw_arena_init(&arena, mem);
  bbw_status rv = read_model(net, model, &arena, err);
  bbw_arena_free(&arena);
  if (rv != BBW_OK) {
    bbw_onnx_net_del(net);
    return rv;
  }
  *out = net;
  return BBW_OK;
}

void bbw_onnx_net_del(bbw_onnx_net *net) {
  if (net == NULL) { return; }
  const bbw_mem *mem = net->mem;
  size_t count = net->plan.parameter_count;
  bbw_mem_array_free(mem, net->parameters, count, sizeof(float));
  bbw_mem_array_free(mem, net->spare, count, sizeof(float));
  bbw_mem_array_free(mem, net->gradient, count, sizeof(float));
  bbw_mem_array_free(mem, net->order, net->order_count, sizeof(uint32_t));
  if (net->ws.mem != NULL) { bbw_plan_workspace_free(&net->ws); }
  bbw_plan_free(&net->plan);
  mem->free(mem->ctx, net, sizeof *net);
}

/* ---- parameters ---- */

static size_t width_of(const bbw_onnx_net *net, uint32_t buffer) {
  return bbw_plan_buffer_at(&net->plan, buffer)->width;
}

size_t bbw_onnx_net_input_width(const bbw_onnx_net *net) { return width_of(net, net->plan.input); }
size_t bbw_onnx_net_output_width(const bbw_onnx_net *net) { return width_of(net, net->plan.output); }
size_t bbw_onnx_net_parameter_count(const bbw_onnx_net *net) { return net->plan.parameter_count; }
const float *bbw_onnx_net_parameters(const bbw_onnx_net *net) { return net->parameters; }

static bbw_status check_count(const bbw_onnx_net *net, size_t count, bbw_error *err) {
  if (count == net->plan.parameter_count) { return BBW_OK; }
  bbw_error_set(err, BBW_E_SHAPE);
  bbw_error_add_u64(err, "expected", net->plan.parameter_count);
  bbw_error_add_u64(err, "got", count);
  return BBW_E_SHAPE;
}

static void swap_parameters(bbw_onnx_net *net) {
  float *before = net->parameters;
  net->parameters = net->spare;
  net->spare = before;
  net->kept = 0;
}

bbw_status bbw_onnx_net_load_parameters(bbw_onnx_net *net, const float *parameters, size_t count, bbw_error *err) {
  bbw_status rv = check_count(net, count, err);
  if (rv != BBW_OK || count == 0) { return rv; }
  if (!bbw_is_finite_f32(parameters, count)) { return refuse(err, BBW_E_NOT_FINITE, "a parameter is not finite"); }
  memcpy(net->parameters, parameters, count * sizeof(float));
  net->kept = 0;
  return BBW_OK;
}

bbw_status bbw_onnx_net_apply_delta(bbw_onnx_net *net, const float *delta, size_t count, bbw_error *err) {
  bbw_status rv = check_count(net, count, err);
  if (rv != BBW_OK || count == 0) { return rv; }
  bbw_add_f32_simd128(net->parameters, delta, net->spare, count);
  if (!bbw_is_finite_f32(net->spare, count)) {
    return refuse(err, BBW_E_NOT_FINITE, "a parameter would not be finite");
  }
  swap_parameters(net);
  return BBW_OK;
}

/* ---- running ---- */

/* Sees to a workspace for that many samples. */
static bbw_status ensure_workspace(bbw_onnx_net *net, size_t samples, bool with_gradients, bbw_error *err) {
  bbw_status rv = BBW_OK;
  if (net->ws.batch_max < samples) {
    bbw_plan_workspace larger;
    rv = bbw_plan_workspace_init(&larger, &net->plan, samples, net->mem);
    if (rv == BBW_OK) {
      if (net->ws.mem != NULL) { bbw_plan_workspace_free(&net->ws); }
      net->ws = larger;
      net->kept = 0;
    }
  }
  if (rv == BBW_OK && with_gradients) { rv = bbw_plan_workspace_add_gradients(&net->ws, &net->plan); }
  return rv == BBW_OK ? BBW_OK : bbw_error_set(err, rv);
}

/* Runs samples that lie one after the other. */
static void run_samples(bbw_onnx_net *net, const float *x, size_t samples) {
  memcpy(bbw_plan_values(&net->plan, &net->ws, net->plan.input), x,
         samples * bbw_onnx_net_input_width(net) * sizeof(float));
  net->kept = 0;
  bbw_plan_forward(&net->plan, &net->ws, net->parameters, samples);
}

bbw_status bbw_onnx_net_forward(bbw_onnx_net *net, const float *x, size_t samples, float *y, bbw_error *err) {
  if (samples == 0) { return BBW_OK; }
  bbw_status rv = ensure_workspace(net, min_size(samples, BBW_ONNX_NET_KEPT_MAX), false, err);
  if (rv != BBW_OK) { return rv; }
  size_t in = bbw_onnx_net_input_width(net), out = bbw_onnx_net_output_width(net);
  for (size_t done = 0; done < samples;) {
    size_t part = min_size(samples - done, net->ws.batch_max);
    run_samples(net, x + done * in, part);
    memcpy(y + done * out, bbw_plan_values(&net->plan, &net->ws, net->plan.output), part * out * sizeof(float));
    done += part;
    net->kept = part == samples ? samples : 0;
  }
  return BBW_OK;
}

const float *bbw_onnx_net_kept(const bbw_onnx_net *net, size_t *samples) {
  *samples = net->kept;
  return net->kept == 0 ? NULL : bbw_plan_values(&net->plan, &net->ws, net->plan.input);
}

static bbw_status check_labels(const bbw_onnx_net *net, bbw_labels labels, size_t samples, bbw_error *err) {
  size_t classes = bbw_onnx_net_output_width(net);
  if (samples == 0) { return refuse(err, BBW_E_EMPTY, "there are no samples"); }
  for (size_t i = 0; i < samples; i++) {
    bool is_good;
    if (labels.is_index) {
      float c = labels.data[i];
      is_good = c >= 0.0f && c < (float)classes && floorf(c) == c;
    } else {
      is_good = bbw_is_finite_f32(labels.data + i * classes, classes);
    }
    if (!is_good) {
      bbw_error_set_at(err, BBW_E_INVALID_VALUE, i);
      const char *detail = labels.is_index ? "a label is not the number of a class" : "a label is not finite";
      bbw_error_add_str(err, "detail", (bbw_str){detail, strlen(detail)});
      return BBW_E_INVALID_VALUE;
    }
  }
  return BBW_OK;
}

/* The labels of the samples from `first` on. */
static bbw_labels labels_from(const bbw_onnx_net *net, bbw_labels labels, size_t first) {
  return (bbw_labels){labels.data + first * (labels.is_index ? 1 : bbw_onnx_net_output_width(net)), labels.is_index};
}

bbw_status bbw_onnx_net_loss(bbw_onnx_net *net, const float *y, bbw_labels labels, size_t samples, double *loss,
                             bbw_error *err) {
  bbw_status rv = check_labels(net, labels, samples, err);
  if (rv != BBW_OK) { return rv; }
  size_t classes = bbw_onnx_net_output_width(net);
  double total = 0.0;
  if (net->has_probabilities) { /* softmax(log p) is p again */
    rv = ensure_workspace(net, 1, true, err);
    if (rv != BBW_OK) { return rv; }
    float *row = bbw_plan_gradient(&net->plan, &net->ws, net->plan.output);
    for (size_t i = 0; i < samples; i++) {
      bbw_labels one = labels_from(net, labels, i);
      bbw_log_f32_simd128(y + i * classes, row, classes);
      total += bbw_cross_entropy_f32_simd128(row, one.data, one.is_index, NULL, 1.0f, 1, classes);
    }
  } else {
    total = bbw_cross_entropy_f32_simd128(y, labels.data, labels.is_index, NULL, 1.0f, samples, classes);
  }
  if (!isfinite(total)) { return refuse(err, BBW_E_NOT_FINITE, "the loss is not finite"); }
  *loss = total / (double)samples;
  return BBW_OK;
}

bbw_status bbw_onnx_net_backward(bbw_onnx_net *net, const float *y_gradient, size_t samples, float *gradient,
                                 bbw_error *err) {
  if (samples == 0 || net->kept != samples) {
    return refuse(err, BBW_E_STATE, "no forward of as many samples came before");
  }
  bbw_status rv = ensure_workspace(net, samples, true, err);
  if (rv != BBW_OK) { return rv; }
  float *to = bbw_plan_gradient(&net->plan, &net->ws, net->plan.output);
  memcpy(to, y_gradient, samples * bbw_onnx_net_output_width(net) * sizeof(float));
  bbw_plan_backward(&net->plan, &net->ws, net->parameters, samples, net->plan.output, gradient);
  return BBW_OK;
}

/* Summed loss of the batch that was run, and the gradient of its mean by the parameters. */
static double batch_gradient(bbw_onnx_net *net, bbw_labels labels, size_t samples, float *gradient) {
  const float *logits = bbw_plan_values(&net->plan, &net->ws, net->plan.logits);
  float *to = bbw_plan_gradient(&net->plan, &net->ws, net->plan.logits);
  double loss = bbw_cross_entropy_f32_simd128(logits, labels.data, labels.is_index, to, 1.0f / (float)samples, samples,
                                              bbw_onnx_net_output_width(net));
  if (isfinite(loss)) { bbw_plan_backward(&net->plan, &net->ws, net->parameters, samples, net->plan.logits, gradient); }
  return loss;
}

bbw_status bbw_onnx_net_loss_gradient(bbw_onnx_net *net, const float *x, bbw_labels labels, size_t samples,
                                      double *loss, float *gradient, bbw_error *err) {
  bbw_status rv = check_labels(net, labels, samples, err);
  if (rv == BBW_OK) { rv = ensure_workspace(net, samples, true, err); }
  if (rv != BBW_OK) { return rv; }
  run_samples(net, x, samples);
  double total = batch_gradient(net, labels, samples, gradient);
  if (!isfinite(total)) { return refuse(err, BBW_E_NOT_FINITE, "the loss is not finite"); }
  *loss = total / (double)samples;
  return BBW_OK;
}

/* ---- training ---- */

static bbw_status ensure_training(bbw_onnx_net *net, size_t samples, size_t batch_size, bbw_error *err) {
  bbw_status rv = ensure_workspace(net, batch_size, true, err);
  if (rv != BBW_OK) { return rv; }
  size_t count = net->plan.parameter_count;
  if (net->gradient == NULL && count > 0) {
    net->gradient = bbw_mem_array(net->mem, count, sizeof(float));
    if (net->gradient == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  }
  if (net->order_count < samples) {
    uint32_t *order = bbw_mem_array(net->mem, samples, sizeof(uint32_t));
    if (order == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
    bbw_mem_array_free(net->mem, net->order, net->order_count, sizeof(uint32_t));
    net->order = order;
    net->order_count = samples;
  }
  return BBW_OK;
}

static void shuffle(uint32_t *order, size_t count, bbw_rng *rng) {
  for (size_t i = count; i > 1; i--) {
    size_t j = (size_t)bbw_rng_below(rng, i);
    uint32_t moved = order[i - 1];
    order[i - 1] = order[j];
    order[j] = moved;
  }
}

/* One step on the samples order[0..count); adds their losses to *loss.  False when that is not finite. */
static bool train_step(bbw_onnx_net *net, const float *x, bbw_labels labels, const uint32_t *order, size_t count,
                       float rate, double *loss) {
  size_t in = bbw_onnx_net_input_width(net), label_width = labels.is_index ? 1 : bbw_onnx_net_output_width(net);
  float *to = bbw_plan_values(&net->plan, &net->ws, net->plan.input);
  /* The gradient of the output is not in use yet and has room for one row of labels per sample. */
  float *picked = bbw_plan_gradient(&net->plan, &net->ws, net->plan.output);
  bool is_shared = net->plan.output == net->plan.logits;
  if (is_shared) { picked = net->ws.sum; }
  for (size_t i = 0; i < count; i++) {
    memcpy(to + i * in, x + order[i] * in, in * sizeof(float));
    memcpy(picked + i * label_width, labels.data + order[i] * label_width, label_width * sizeof(float));
  }
  bbw_plan_forward(&net->plan, &net->ws, net->parameters, count);
  double batch_loss = batch_gradient(net, (bbw_labels){picked, labels.is_index}, count, net->gradient);
  if (!isfinite(batch_loss)) { return false; }
  if (net->plan.parameter_count > 0) {
    bbw_axpy_f32_simd128(-rate, net->gradient, net->parameters, net->parameters, net->plan.parameter_count);
  }
  *loss += batch_loss;
  return true;
}

bbw_status bbw_onnx_net_train(bbw_onnx_net *net, const float *x, bbw_labels labels, size_t samples,
                              const bbw_train_options *options, double *mean_loss, bbw_error *err) {
  if (options->epochs == 0) { return refuse(err, BBW_E_ARG, "epochs is 0"); }
  if (options->batch_size == 0) { return refuse(err, BBW_E_ARG, "batch_size is 0"); }
  if (!isfinite(options->rate)) { return refuse(err, BBW_E_ARG, "rate is not finite"); }
  if (samples > UINT32_MAX) { return refuse(err, BBW_E_LIMIT, "too many samples"); }
  bbw_status rv = check_labels(net, labels, samples, err);
  if (rv != BBW_OK) { return rv; }
  size_t batch = min_size(options->batch_size, samples), count = net->plan.parameter_count;
  rv = ensure_training(net, samples, batch, err);
  if (rv != BBW_OK) { return rv; }
  if (count > 0) { memcpy(net->spare, net->parameters, count * sizeof(float)); }
  for (size_t i = 0; i < samples; i++) { net->order[i] = (uint32_t)i; }
  bbw_rng rng;
  bbw_rng_init(&rng, options->seed);
  bool is_good = true;
  double loss = 0.0;
  for (size_t epoch = 0; is_good && epoch < options->epochs; epoch++) {
    shuffle(net->order, samples, &rng);
    loss = 0.0;
    for (size_t done = 0; is_good && done < samples; done += batch) {
      is_good = train_step(net, x, labels, net->order + done, min_size(batch, samples - done), options->rate, &loss);
    }
  }
  is_good = is_good && bbw_is_finite_f32(net->parameters, count);
  net->kept = 0;
  if (!is_good) {
    swap_parameters(net);
    return refuse(err, BBW_E_NOT_FINITE, "training does not converge");
  }
  *mean_loss = loss / (double)samples;
  return BBW_OK;
}

/* Samples of the batch that was run whose largest output is the right one. */
static size_t count_right(const bbw_onnx_net *net, bbw_labels labels, size_t samples) {
  size_t classes = bbw_onnx_net_output_width(net), right = 0;
  const float *logits = bbw_plan_values(&net->plan, &net->ws, net->plan.logits);
  for (size_t i = 0; i < samples; i++) {
    float best, wanted;
    bbw_argmax_f32(logits + i * classes, &best, 1, classes, 1);
    if (labels.is_index) {
      wanted = labels.data[i];
    } else {
      bbw_argmax_f32(labels.data + i * classes, &wanted, 1, classes, 1);
    }
    right += best == wanted ? 1 : 0;
  }
  return right;
}

bbw_status bbw_onnx_net_evaluate(bbw_onnx_net *net, const float *x, bbw_labels labels, size_t samples,
                                 double *mean_loss, double *accuracy, bbw_error *err) {
  bbw_status rv = check_labels(net, labels, samples, err);
  if (rv == BBW_OK) { rv = ensure_workspace(net, min_size(samples, EVALUATE_PIECE), false, err); }
  if (rv != BBW_OK) { return rv; }
  size_t in = bbw_onnx_net_input_width(net), classes = bbw_onnx_net_output_width(net), right = 0;
  double loss = 0.0;
  for (size_t done = 0; done < samples;) {
    size_t part = min_size(samples - done, net->ws.batch_max);
    bbw_labels own = labels_from(net, labels, done);
    run_samples(net, x + done * in, part);
    const float *logits = bbw_plan_values(&net->plan, &net->ws, net->plan.logits);
    loss += bbw_cross_entropy_f32_simd128(logits, own.data, own.is_index, NULL, 1.0f, part, classes);
    right += count_right(net, own, part);
    done += part;
  }
  if (!isfinite(loss)) { return refuse(err, BBW_E_NOT_FINITE, "the loss is not finite"); }
  *mean_loss = loss / (double)samples;
  *accuracy = (double)right / (double)samples;
  return BBW_OK;
}
