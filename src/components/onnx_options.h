/*
 * onnx_options: how a file wants to be trained.
 *
 * ONNX files may carry pairs of texts (ModelProto.metadata_props); those whose key begins with "bbw.train." are the options of the trainer, by the names of bbw_trainer_options: loss, output, ignored,
 * label_smoothing, huber_delta, class_weights, optimizer, rate, momentum, nesterov, beta1, beta2, epsilon, weight_decay, decoupled, clip_norm, clip_value, schedule, warmup_steps, schedule_steps,
 * schedule_factor, freeze, seed, state.  Of a name that is there several times the last counts.  Numbers are decimal (an empty `ignored`: none), lists have one item per line, truths are 0 or 1, `state` is f32 or f16; names of losses, optimizers and schedules are those of
 * docs/TRAINING.md.  Other programs ignore them, so the file stays what it is.
 */
#ifndef BBW_COMPONENTS_ONNX_OPTIONS_H
#define BBW_COMPONENTS_ONNX_OPTIONS_H

#include "base/arena.h"
#include "bbw/trainer.h"

/* Without any: softmax cross entropy, SGD, rate 0.1.  What the options point to lies in `model` or in the arena.  BBW_E_ARG (fields "option", "detail") for a name or a number that is none, and the statuses of decoding. */
bbw_status bbw_onnx_options_read(bbw_trainer_options *options, bbw_bytes model, bbw_arena *arena, bbw_error *err);

#endif
