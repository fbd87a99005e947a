/* abi_trainer: training of standard ONNX models outside any node. */
#include <string.h>

#include "abi.h"
#include "abi_private.h"
#include "bbw/trainer.h"

static bbw_trainer *trainer_at(uint32_t trainer) { return address(trainer); }

static float read_f32(bbw_pack *pack) {
  uint32_t bits = bbw_pack_u32(pack);
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Everything but the freeze list; class weights are copied, because a pack aligns nothing. */
static bbw_status read_options(bbw_pack *pack, bbw_trainer_options *o, float **weights) {
  o->loss = (bbw_trainer_loss)bbw_pack_u32(pack);
  o->output = bbw_pack_text(pack);
  o->has_ignored = bbw_pack_u32(pack) != 0;
  o->ignored = (int64_t)bbw_pack_u64(pack);
  o->label_smoothing = read_f32(pack);
  o->huber_delta = read_f32(pack);
  bbw_bytes given = bbw_pack_bytes(pack);
  o->class_count = given.len / sizeof(float);
  o->optimizer = (bbw_trainer_optimizer)bbw_pack_u32(pack);
  o->rate = read_f32(pack);
  o->momentum = read_f32(pack);
  o->is_nesterov = bbw_pack_u32(pack) != 0;
  o->beta1 = read_f32(pack);
  o->beta2 = read_f32(pack);
  o->epsilon = read_f32(pack);
  o->weight_decay = read_f32(pack);
  o->is_decoupled = bbw_pack_u32(pack) != 0;
  o->clip_norm = read_f32(pack);
  o->clip_value = read_f32(pack);
  o->schedule = (bbw_trainer_schedule)bbw_pack_u32(pack);
  o->warmup_steps = bbw_pack_u64(pack);
  o->schedule_steps = bbw_pack_u64(pack);
  o->schedule_factor = read_f32(pack);
  *weights = array_new(o->class_count, sizeof **weights);
  if (*weights == NULL) { return BBW_E_NOMEM; }
  if (o->class_count > 0) { memcpy(*weights, given.ptr, o->class_count * sizeof **weights); }
  o->class_weights = *weights;
  return BBW_OK;
}

int32_t bbw_abi_trainer_new(uint32_t model, uint32_t model_len, uint32_t options, uint32_t options_len,
                            uint32_t handle_out, uint32_t err) {
  bbw_error_set(error_at(err), BBW_OK);
  bbw_pack pack = bbw_pack_open(address(options), options_len);
  bbw_trainer_options o = {0};
  bbw_trainer *trainer;
  float *weights = NULL;
  bbw_bytes *names = NULL;
  size_t name_count = 0;
  bbw_status rv = read_options(&pack, &o, &weights);
  if (rv == BBW_OK) { rv = abi_read_byte_list(&pack, &names, &name_count); }
  bbw_str *freeze = rv == BBW_OK ? array_new(name_count, sizeof *freeze) : NULL;
  if (rv == BBW_OK && freeze == NULL) { rv = BBW_E_NOMEM; }
  for (size_t i = 0; rv == BBW_OK && i < name_count; i++) {
    freeze[i] = (bbw_str){(const char *)names[i].ptr, names[i].len};
  }
  o.freeze = freeze;
  o.freeze_count = name_count;
  o.seed = bbw_pack_u64(&pack);
  o.memory_bytes_max = bbw_pack_u32(&pack);
  o.keeps_outputs = bbw_pack_u32(&pack) != 0;
  o.checkpoints = bbw_pack_u32(&pack);
  o.has_f16_state = bbw_pack_u32(&pack) != 0;
  o.has_backward = bbw_pack_u32(&pack) != 0;
  if (rv == BBW_OK && !bbw_pack_is_done(&pack)) { rv = BBW_E_ARG; }
  if (rv == BBW_OK) {
    rv = bbw_trainer_new(&trainer, bytes_at(model, model_len), &o, &bbw_wasm_mem, error_at(err));
  } else {
    bbw_error_set(error_at(err), rv);
  }
  if (freeze != NULL) { array_free(freeze, name_count, sizeof *freeze); }
  array_free(names, name_count, sizeof *names);
  array_free(weights, o.class_count, sizeof *weights);
  if (rv == BBW_OK) { *(uint32_t *)address(handle_out) = offset(trainer); }
  return rv;
}

void bbw_abi_trainer_del(uint32_t trainer) { bbw_trainer_del(trainer_at(trainer)); }

int32_t bbw_abi_trainer_ports(uint32_t trainer, uint32_t out) {
  const bbw_trainer *t = trainer_at(trainer);
  size_t inputs = bbw_trainer_input_count(t), outputs = bbw_trainer_output_count(t);
  size_t parameters = bbw_trainer_parameter_count(t);
  bbw_vec *list = abi_result_begin();
  bool ok = bbw_pack_put_u32(list, (uint32_t)inputs);
  for (size_t i = 0; ok && i < inputs; i++) {
    bbw_port_info port = bbw_trainer_input(t, i);
    ok = abi_put_port(list, &port);
  }
  ok = ok && bbw_pack_put_u32(list, (uint32_t)outputs);
  for (size_t i = 0; ok && i < outputs; i++) {
    bbw_port_info port = bbw_trainer_output(t, i);
    ok = abi_put_port(list, &port);
  }
  ok = ok && bbw_pack_put_u32(list, (uint32_t)parameters);
  for (size_t i = 0; ok && i < parameters; i++) {
    bbw_trainer_parameter p = bbw_trainer_parameter_at(t, i);
    ok = bbw_pack_put_text(list, p.name) && bbw_pack_put_u32(list, (uint32_t)p.offset) &&
         bbw_pack_put_u32(list, (uint32_t)p.count) && bbw_pack_put_u32(list, p.rank);
    for (uint32_t d = 0; ok && d < p.rank; d++) { ok = bbw_pack_put_u32(list, (uint32_t)p.dims[d]); }
  }
  return abi_result_end(ok, out, 0);
}

int32_t bbw_abi_trainer_run(uint32_t trainer, uint32_t frame, uint32_t mode, uint32_t gradient, uint32_t loss,
                            uint32_t err) {
  bbw_trainer *t = trainer_at(trainer);
  bbw_array *inputs = address(frame);
  size_t count = mode == 5 ? 1 : bbw_trainer_input_count(t);
  const bbw_array *labels = inputs[count].dtype != BBW_DTYPE_NONE ? &inputs[count] : NULL;
  bbw_array *outputs = inputs + count + 1;
  double *to = address(loss);
  if (!abi_check_arrays(inputs, count + (labels != NULL ? 1 : 0))) { return bbw_error_set(error_at(err), BBW_E_ARG); }
  switch (mode) {
  case 0: return bbw_trainer_step(t, inputs, count, labels, to, outputs, error_at(err));
  case 1: return bbw_trainer_evaluate(t, inputs, count, labels, labels != NULL ? to : NULL, outputs, error_at(err));
  case 2: return bbw_trainer_evaluate(t, inputs, count, NULL, to, outputs, error_at(err));
  case 3: return bbw_trainer_gradient(t, inputs, count, labels, to, address(gradient), error_at(err));
  case 4:
    return labels == NULL ? bbw_error_set(error_at(err), BBW_E_ARG)
                          : bbw_trainer_backward(t, inputs, count, labels, address(gradient), error_at(err));
  case 5: return bbw_trainer_loss_of(t, inputs, labels, to, error_at(err));
  default: return bbw_error_set(error_at(err), BBW_E_ARG);
  }
}

int32_t bbw_abi_trainer_values(uint32_t trainer, uint32_t out) {
  size_t count;
  const float *values = bbw_trainer_values(trainer_at(trainer), &count);
  out_set(out, values, count * sizeof *values);
  return BBW_OK;
}

int32_t bbw_abi_trainer_load(uint32_t trainer, uint32_t values, uint32_t count, uint32_t is_delta, uint32_t err) {
  bbw_trainer *t = trainer_at(trainer);
  return (is_delta != 0 ? bbw_trainer_add : bbw_trainer_load)(t, address(values), count, error_at(err));
}

void bbw_abi_trainer_initialize(uint32_t trainer, uint32_t kind, uint64_t seed) {
  bbw_trainer_initialize(trainer_at(trainer), kind == 0 ? BBW_TRAINER_GLOROT : BBW_TRAINER_HE, seed);
}

int32_t bbw_abi_trainer_state_save(uint32_t trainer, uint32_t out) {
  const bbw_trainer *t = trainer_at(trainer);
  size_t bytes = bbw_trainer_state_bytes(t);
  bbw_vec *list = abi_result_begin();
  bool ok = bbw_vec_reserve(list, bytes);
  if (ok) {
    bbw_trainer_state_save(t, list->items);
    list->count = bytes;
  }
  return abi_result_end(ok, out, 0);
}

int32_t bbw_abi_trainer_state_load(uint32_t trainer, uint32_t state, uint32_t len, uint32_t err) {
  return bbw_trainer_state_load(trainer_at(trainer), bytes_at(state, len), error_at(err));
}

int32_t bbw_abi_trainer_export(uint32_t trainer, uint32_t model, uint32_t len, uint32_t out, uint32_t err) {
  bbw_vec *list = abi_result_begin();
  if (!bbw_vec_append(list, address(model), len)) { return abi_result_end(false, out, err); }
  bbw_status rv = bbw_trainer_export(trainer_at(trainer), list->items, list->count, error_at(err));
  return rv == BBW_OK ? abi_result_end(true, out, err) : rv;
}

int32_t bbw_abi_trainer_stats(uint32_t trainer, uint32_t out) {
  bbw_trainer_stats s = bbw_trainer_stats_of(trainer_at(trainer));
  const uint32_t words[] = {(uint32_t)s.constant_bytes, (uint32_t)s.parameter_bytes, (uint32_t)s.state_bytes,
                            (uint32_t)s.run_bytes,      (uint32_t)s.run_bytes_peak,  (uint32_t)s.step_bytes,
                            (uint32_t)s.live_bytes,     (uint32_t)s.whole_bytes,     (uint32_t)s.node_count};
  bbw_vec *list = abi_result_begin();
  bool ok = bbw_vec_append(list, words, sizeof words) && bbw_vec_append(list, &s.steps, sizeof s.steps) &&
            bbw_vec_append(list, &s.rate, sizeof s.rate);
  return abi_result_end(ok, out, 0);
}
