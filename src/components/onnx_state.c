/* What a Model saves: parameters, optimizer, what a forward left for backward, and where a training is. */
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "components/onnx_private.h"
#include "kernels/elementwise.h"
#include "onnx/op.h"

/*
 * Little-endian: magic, u32 version, u32 whether a training is under way, u64 trainings, u64 parameters, u64 bytes of the optimizer's state, u64 kept samples, u32 rank of one, that many u64 dimensions;
 * the optimizer's state, the kept samples, then where a training is under way: u64 command, seed, start, epoch, done, steps, f64 loss, loss of the last batch, and after a step the parameters
 * before it; the parameters.  What a forward computed is not saved: backward computes it again from the samples that went in.
 */
#define STATE_VERSION 2u
#define HEAD_BYTES    52u
#define JOB_WORDS     8u
/* Numbers in a sample that a state may claim without holding one: the shape alone decides what the next run takes, and is not worth a checksum.  A larger one is not saved; the next samples say it again. */
#define SAMPLE_MAX ((uint64_t)1 << 22)
static const uint8_t magic[8] = {'B', 'B', 'W', 'M', 'O', 'D', 'E', 'L'};

typedef struct layout {
  uint64_t trainings, parameters, state_bytes, kept;
  uint32_t is_training, rank;
  uint64_t dims[BBW_ARRAY_RANK_MAX];
} layout;

static void store_floats(uint8_t *to, const float *from, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, &from[i], sizeof bits);
    bbw_store_u32le(to + 4 * i, bits);
  }
}

static void load_floats(float *to, const uint8_t *from, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = bbw_load_u32le(from + 4 * i);
    memcpy(&to[i], &bits, sizeof bits);
  }
}

void bbw_onnx_job_close(bbw_onnx_job *job, const bbw_mem *mem) {
  bbw_value_release(job->x, mem);
  bbw_value_release(job->labels, mem);
  bbw_value_release(job->y, mem);
  *job = (bbw_onnx_job){0};
}

/* ---- saving ---- */

static uint8_t *put_head(const layout *l, uint8_t *to) {
  memcpy(to, magic, 8);
  bbw_store_u32le(to + 8, STATE_VERSION);
  bbw_store_u32le(to + 12, l->is_training);
  bbw_store_u64le(to + 16, l->trainings);
  bbw_store_u64le(to + 24, l->parameters);
  bbw_store_u64le(to + 32, l->state_bytes);
  bbw_store_u64le(to + 40, l->kept);
  bbw_store_u32le(to + 48, l->rank);
  for (uint32_t d = 0; d < l->rank; d++) { bbw_store_u64le(to + HEAD_BYTES + 8 * d, l->dims[d]); }
  return to + HEAD_BYTES + 8 * l->rank;
}

static uint8_t *put_job(const bbw_onnx_job *job, const bbw_onnx_net *net, size_t parameters, uint8_t *to) {
  const bbw_train_position *at = &job->run.at;
  uint64_t loss, batch_loss;
  memcpy(&loss, &at->loss, sizeof loss);
  memcpy(&batch_loss, &at->batch_loss, sizeof batch_loss);
  const uint64_t words[JOB_WORDS] = {job->cmd_id, job->seed, job->started_ns, at->epoch, at->done,
                                     at->steps,   loss,      batch_loss};
  for (size_t i = 0; i < JOB_WORDS; i++, to += 8) { bbw_store_u64le(to, words[i]); }
  if (at->steps == 0) { return to; }
  store_floats(to, bbw_onnx_net_good(net), parameters);
  return to + 4 * parameters;
}

bbw_status bbw_onnx_model_save(const void *self, const bbw_mem *mem, uint8_t **out, size_t *len) {
  const struct bbw_onnx_component *m = self;
  const bbw_onnx_net *net = m->net;
  size_t samples, count = bbw_onnx_net_parameter_count(net), floats, bytes;
  const float *kept = bbw_onnx_net_kept(net, &samples);
  layout l = {.trainings = m->trainings,
              .parameters = count,
              .state_bytes = bbw_trainer_state_bytes(net->trainer),
              .kept = samples,
              .is_training = m->job.is_training,
              .rank = net->is_fit && (samples > 0 || net->x.count <= SAMPLE_MAX) ? net->x.rank : 0};
  for (uint32_t d = 0; d < l.rank; d++) { l.dims[d] = net->x.dims[d]; }
  size_t kept_floats = samples * net->x.count; /* they are there, so it fits; so do copies of the parameters */
  size_t copies = m->job.is_training && m->job.run.at.steps > 0 ? 2 : 1;
  size_t fixed = HEAD_BYTES + 8 * l.rank + (m->job.is_training ? 8 * JOB_WORDS : 0);
  bool fits = bbw_size_mul(count, copies, &floats) && bbw_size_add(floats, kept_floats, &floats) &&
              bbw_size_mul(floats, 4, &bytes) && bbw_size_add(bytes, fixed, &bytes) &&
              bbw_size_add(bytes, (size_t)l.state_bytes, &bytes);
  uint8_t *state = fits ? mem->alloc(mem->ctx, bytes) : NULL;
  if (state == NULL) { return BBW_E_NOMEM; }
  uint8_t *to = put_head(&l, state);
  bbw_trainer_state_save(net->trainer, to);
  to += l.state_bytes;
  store_floats(to, kept, kept_floats);
  to += 4 * kept_floats;
  if (m->job.is_training) { to = put_job(&m->job, net, count, to); }
  store_floats(to, bbw_onnx_net_parameters(net), count);
  *out = state;
  *len = bytes;
  return BBW_OK;
}

/* ---- restoring ---- */

static bbw_status refuse(bbw_error *err, const char *detail) {
  return bbw_onnx_refuse(err, BBW_E_RESTORE_COMPONENT, detail);
}

/* What the state says of the shape of a sample is in it, or small. */
static bool is_backed(const layout *l, size_t rest_bytes) {
  uint64_t most = l->kept > 0 ? rest_bytes / sizeof(float) / l->kept : SAMPLE_MAX;
  for (uint32_t d = 1; d < l->rank && l->dims[d] > 0; d++) {
    if (l->dims[d] > most) { return false; }
    most /= l->dims[d];
  }
  return true;
}

/* The head; *rest is what follows. */
static bbw_status read_head(const bbw_onnx_net *net, bbw_bytes state, layout *l, bbw_bytes *rest, bbw_error *err) {
  const uint8_t *p = state.ptr;
  if (state.len < HEAD_BYTES || memcmp(p, magic, 8) != 0) { return refuse(err, "this is no state of a Model"); }
  if (bbw_load_u32le(p + 8) != STATE_VERSION) { return refuse(err, "the state has another version"); }
  *l = (layout){.is_training = bbw_load_u32le(p + 12),
                .trainings = bbw_load_u64le(p + 16),
                .parameters = bbw_load_u64le(p + 24),
                .state_bytes = bbw_load_u64le(p + 32),
                .kept = bbw_load_u64le(p + 40),
                .rank = bbw_load_u32le(p + 48)};
  bool is_sound = l->is_training <= 1 && l->rank <= BBW_ARRAY_RANK_MAX && l->kept <= BBW_ONNX_NET_KEPT_MAX &&
                  (l->kept == 0 || l->rank > 0) && state.len - HEAD_BYTES >= 8 * (size_t)l->rank;
  if (!is_sound) { return refuse(err, "the state is cut or changed"); }
  bool is_same = l->parameters == bbw_onnx_net_parameter_count(net) &&
                 l->state_bytes == bbw_trainer_state_bytes(net->trainer);
  if (!is_same) { return refuse(err, "the state is that of another model or optimizer"); }
  for (uint32_t d = 0; d < l->rank; d++) { l->dims[d] = bbw_load_u64le(p + HEAD_BYTES + 8 * d); }
  size_t used = HEAD_BYTES + 8 * (size_t)l->rank;
  *rest = (bbw_bytes){p + used, state.len - used};
  return is_backed(l, rest->len) ? BBW_OK : refuse(err, "the state claims larger samples than it holds");
}

/* The next `count` floats into new memory of the net (NULL for none); false when they are not there or memory runs out. */
static float *take_floats(const bbw_onnx_net *net, bbw_bytes *rest, size_t count, bbw_status *rv) {
  if (rest->len / 4 < count) { *rv = BBW_E_RESTORE_COMPONENT; }
  float *made = *rv == BBW_OK ? bbw_mem_array(net->mem, count, sizeof(float)) : NULL;
  if (*rv == BBW_OK && count > 0 && made == NULL) { *rv = BBW_E_NOMEM; }
  if (*rv != BBW_OK) { return NULL; }
  load_floats(made, rest->ptr, count);
  *rest = (bbw_bytes){rest->ptr + 4 * count, rest->len - 4 * count};
  return made;
}

static bool take_job(bbw_onnx_job *job, bbw_bytes *rest) {
  uint64_t words[JOB_WORDS];
  if (rest->len < sizeof words) { return false; }
  for (size_t i = 0; i < JOB_WORDS; i++) { words[i] = bbw_load_u64le(rest->ptr + 8 * i); }
  *rest = (bbw_bytes){rest->ptr + sizeof words, rest->len - sizeof words};
  bbw_train_position *at = &job->run.at;
  *job = (bbw_onnx_job){
      .is_open = true, .is_training = true, .cmd_id = words[0], .seed = words[1], .started_ns = words[2]};
  at->epoch = words[3];
  at->done = words[4];
  at->steps = words[5];
  memcpy(&at->loss, &words[6], sizeof at->loss);
  memcpy(&at->batch_loss, &words[7], sizeof at->batch_loss);
  return true;
}

/* Where the file fixes the shape of a sample, fitting to another one does nothing. */
static bool has_shape(const bbw_onnx_net *net, const layout *l) {
  bool is = l->rank == (net->is_fit ? net->x.rank : 0);
  for (uint32_t d = 0; is && d < l->rank; d++) { is = l->dims[d] == net->x.dims[d]; }
  return is || l->rank == 0;
}

typedef struct parts {
  bbw_bytes optimizer;
  float *kept, *good, *parameters;
  size_t kept_floats;
  bbw_onnx_job job;
} parts;

static bbw_status take_parts(bbw_onnx_net *net, const layout *l, bbw_bytes rest, parts *p, bbw_error *err) {
  size_t count = (size_t)l->parameters, width = bbw_onnx_net_input_width(net), kept = 0;
  bbw_status rv = BBW_OK;
  if (rest.len < l->state_bytes || !bbw_size_mul((size_t)l->kept, width, &kept)) { rv = BBW_E_RESTORE_COMPONENT; }
  if (rv == BBW_OK) {
    p->optimizer = (bbw_bytes){rest.ptr, (size_t)l->state_bytes};
    rest = (bbw_bytes){rest.ptr + l->state_bytes, rest.len - (size_t)l->state_bytes};
  }
  p->kept = take_floats(net, &rest, kept, &rv);
  p->kept_floats = kept;
  if (rv == BBW_OK && l->is_training != 0 && !take_job(&p->job, &rest)) { rv = BBW_E_RESTORE_COMPONENT; }
  if (p->job.run.at.steps > 0) { p->good = take_floats(net, &rest, count, &rv); }
  p->parameters = take_floats(net, &rest, count, &rv);
  bool is_whole = rv == BBW_OK && rest.len == 0 && bbw_is_finite_f32(p->parameters, count) &&
                  (p->good == NULL || bbw_is_finite_f32(p->good, count));
  if (is_whole || rv == BBW_E_NOMEM) { return rv; }
  return refuse(err, "the state is cut or changed");
}

bbw_status bbw_onnx_model_restore(void *self, bbw_bytes state, const bbw_mem *mem, bbw_error *err) {
  struct bbw_onnx_component *m = self;
  bbw_onnx_net *net = m->net;
  layout l;
  bbw_bytes rest;
  parts p = {0};
  (void)mem; /* the instance's own */
  BBW_TRY(read_head(net, state, &l, &rest, err));
  size_t count = (size_t)l.parameters;
  bbw_status rv = l.rank > 0 ? bbw_onnx_net_fit(net, l.dims, l.rank, err) : BBW_OK;
  if (rv == BBW_OK && !has_shape(net, &l)) { rv = refuse(err, "the samples have another shape"); }
  if (rv == BBW_OK) { rv = take_parts(net, &l, rest, &p, err); }
  /* Room for what is kept; then nothing fails but the optimizer's state, which changes nothing when it does. */
  if (rv == BBW_OK) { rv = bbw_onnx_grow(net, &net->kept, p.kept_floats, sizeof(float), err); }
  if (rv == BBW_OK && p.good != NULL) { rv = bbw_onnx_grow(net, &net->good, count, sizeof(float), err); }
  if (rv == BBW_OK) { rv = bbw_trainer_state_load(net->trainer, p.optimizer, err); }
  if (rv == BBW_OK) {
    (void)bbw_trainer_load(net->trainer, p.parameters, count, NULL);
    (void)bbw_onnx_net_keep(net, p.kept, (size_t)l.kept);
    if (p.good != NULL) { (void)bbw_onnx_net_set_good(net, p.good); }
    bbw_onnx_job_close(&m->job, m->mem);
    m->job = p.job;
    m->trainings = l.trainings;
  }
  bbw_mem_array_free(net->mem, p.kept, p.kept_floats, sizeof(float));
  bbw_mem_array_free(net->mem, p.good, count, sizeof(float));
  bbw_mem_array_free(net->mem, p.parameters, count, sizeof(float));
  if (rv == BBW_OK || rv == BBW_E_NOMEM) { return bbw_error_set(err, rv); }
  return rv == BBW_E_RESTORE_COMPONENT ? rv : refuse(err, "the state does not fit this model");
}
