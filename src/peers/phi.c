#include "peers/phi.h"

#include "base/mem.h"

#define LN_10      2.302585092994045684
#define RING_FIRST 8u
/* So that the sum of a full ring fits; 208 days. */
#define INTERVAL_NS_MAX (UINT64_MAX / 1024)

void bbw_phi_init(bbw_phi *phi, const bbw_mem *mem) { *phi = (bbw_phi){.mem = mem}; }

void bbw_phi_free(bbw_phi *phi) {
  bbw_mem_array_free(phi->mem, phi->intervals, phi->size, sizeof(uint64_t));
  *phi = (bbw_phi){.mem = phi->mem};
}

static bool ring_grow(bbw_phi *phi) {
  size_t size = phi->size == 0 ? RING_FIRST : phi->size * 2;
  if (size > BBW_PHI_INTERVALS_MAX) { size = BBW_PHI_INTERVALS_MAX; }
  uint64_t *intervals = bbw_mem_array(phi->mem, size, sizeof(uint64_t));
  if (intervals == NULL) { return false; }
  for (size_t i = 0; i < phi->count; i++) { intervals[i] = phi->intervals[(phi->head + i) % phi->size]; }
  bbw_mem_array_free(phi->mem, phi->intervals, phi->size, sizeof(uint64_t));
  phi->intervals = intervals;
  phi->size = size;
  phi->head = 0;
  return true;
}

static void remember(bbw_phi *phi, uint64_t interval_ns) {
  if (interval_ns > INTERVAL_NS_MAX) { interval_ns = INTERVAL_NS_MAX; }
  if (phi->count == phi->size && phi->size < BBW_PHI_INTERVALS_MAX && !ring_grow(phi)) { return; }
  if (phi->count == phi->size) {
    phi->sum_ns -= phi->intervals[phi->head];
    phi->head = (phi->head + 1) % phi->size;
    phi->count--;
  }
  phi->intervals[(phi->head + phi->count) % phi->size] = interval_ns;
  phi->count++;
  phi->sum_ns += interval_ns;
}

void bbw_phi_heartbeat(bbw_phi *phi, uint64_t now_ns) {
  if (phi->last_seen_ns != 0) { remember(phi, now_ns > phi->last_seen_ns ? now_ns - phi->last_seen_ns : 0); }
  phi->last_seen_ns = now_ns;
}

bbw_status bbw_phi_restore(bbw_phi *phi, const uint64_t *intervals, size_t count, uint64_t last_seen_ns) {
  for (size_t i = 0; i < count; i++) { remember(phi, intervals[i]); }
  phi->last_seen_ns = last_seen_ns;
  return phi->count == count ? BBW_OK : BBW_E_NOMEM;
}

double bbw_phi_value(const bbw_phi *phi, uint64_t now_ns) {
  if (phi->count == 0 || phi->last_seen_ns == 0 || phi->sum_ns == 0) { return 0.0; }
  double mean = (double)phi->sum_ns / (double)phi->count;
  double silence = now_ns > phi->last_seen_ns ? (double)(now_ns - phi->last_seen_ns) : 0.0;
  return silence / (mean * LN_10);
}

bbw_phi_state bbw_phi_state_of(double value) {
  if (value > BBW_PHI_DOWN) { return BBW_PHI_STATE_DOWN; }
  return value > BBW_PHI_SUSPECT ? BBW_PHI_STATE_SUSPECT : BBW_PHI_LIVE;
}

uint64_t bbw_phi_due_ns(const bbw_phi *phi, double threshold) {
  if (phi->count == 0 || phi->last_seen_ns == 0 || phi->sum_ns == 0) { return UINT64_MAX; }
  double mean = (double)phi->sum_ns / (double)phi->count;
  /* A little early: the product and the quotient round differently. */
  double wait = threshold * mean * LN_10 * (1.0 - 1e-12);
  if (wait >= 9.2e18) { return UINT64_MAX; }
  uint64_t wait_ns = (uint64_t)wait;
  return wait_ns > UINT64_MAX - phi->last_seen_ns ? UINT64_MAX : phi->last_seen_ns + wait_ns;
}
