/*
 * fedavg: rounds of federated averaging with clients that are slow, drop out and come back.  Node 0 is the server.  Every round that is ended by the application ends; after the faults two
 * rounds run with everybody, and what the server publishes is then the model of every client, bit for bit.
 */
#include <string.h>

#include "sim.h"

enum { START = 1, FINISH = 2, PUBLISH = 3, CALM_ROUNDS = 2 };

static const char program[] = "slot Server model Model|OnnxModel\n"
                              "slot Server sum Aggregator|FedAvg\n"
                              "slot Server peers PeerSelector|KnownPeers\n"
                              "slot Client model Model|OnnxModel\n"
                              "slot Client data DataSource|SimData\n"
                              "target Server start finish publish -> report average published\n"
                              "role.peer_selector::CurrentView start -> peers\n"
                              "role.model::Params start -> w\n"
                              "wire::Send w start peers -> d h | to.w=Client.w to.start=Client.round\n"
                              "wire::Recv -> uw from\n"
                              "wire::Recv -> un\n"
                              "wire::Recv -> ur\n"
                              "role.aggregator::Contribute uw un -> taken\n"
                              "composite::Bundle ur from taken -> report\n"
                              "role.aggregator::Aggregate finish -> avg n\n"
                              "role.model::LoadParameters avg -> loaded\n"
                              "role.model::Params loaded -> average\n"
                              "role.peer_selector::CurrentView publish -> everybody\n"
                              "role.model::Params publish -> final\n"
                              "wire::Send final everybody -> d2 h2 | to.final=Client.final\n"
                              "syscall::PassThrough final -> published\n"
                              "target Client -> model\n"
                              "wire::Recv -> w peer\n"
                              "wire::Recv -> round\n"
                              "role.model::LoadParameters w -> loaded\n"
                              "role.data_source::NextBatch loaded -> x y\n"
                              "role.model::Train x y -> loss n | epochs=2 batch_size=4 batches_per_poll=1\n"
                              "role.model::Params loss -> nw\n"
                              "wire::Send nw n round peer -> d h | to.nw=Server.uw to.n=Server.un to.round=Server.ur\n"
                              "wire::Recv -> final origin\n"
                              "role.model::LoadParameters final -> l2\n"
                              "role.model::Params l2 -> model\n";

static uint64_t round_ns(const sim *s) { return SIM_SECOND / 2 + s->variant % (2 * SIM_SECOND); }

/* Events for an earlier life of the server are not meant for this one. */
static void later(sim *s, sim_node *server, uint64_t delay_ns, uint64_t what) {
  sim_app(s, server, delay_ns, what | (uint64_t)server->life << 8);
}

static void setup(sim *s) {
  s->models[0] = sim_program(program);
  for (uint32_t i = 0; i < s->honest_count; i++) {
    s->nodes[i].target = i == 0 ? "Server" : "Client";
    s->nodes[i].model = &s->models[0];
  }
}

static void installed(sim *s, sim_node *n, bool is_restored) {
  if (n->index != 0) { return; }
  for (uint32_t i = 1; i < s->honest_count && !is_restored && !s->is_failed; i++) { sim_know(n, i); }
  later(s, n, 10 * SIM_MS, n->host.is_round_open ? FINISH : START);
}

static void start_round(sim *s, sim_node *n) {
  uint8_t bytes[8];
  sim_store_u64(bytes, n->host.round + 1);
  if (sim_tell(n, "start", (bbw_bytes){bytes, 8}) != BBW_OK) { /* its queue is full */
    later(s, n, 10 * SIM_MS, START);
    return;
  }
  n->host.round++;
  s->mark = s->lost;
  n->host.reports = 0;
  n->host.is_round_open = true;
  later(s, n, s->is_calm ? 60 * SIM_SECOND : round_ns(s), FINISH);
}

static void finish_round(sim *s, sim_node *n) {
  bbw_named_bytes input = {BBW_STR("finish"), {(const uint8_t *)"go", 2}};
  if (n->host.round_exec != 0) {
    sim_fail(s, n, "round %llu does not end", (unsigned long long)n->host.round);
    return;
  }
  if (sim_invoke(n, &input, 1, &n->host.round_exec) != BBW_OK) {
    n->host.round_exec = 0;
    later(s, n, 10 * SIM_MS, FINISH);
    return;
  }
  uint32_t up = 0;
  for (uint32_t i = 1; i < s->honest_count; i++) { up += s->nodes[i].state == SIM_UP; }
  sim_trace(s, n, "ends round %llu: %llu reports of %u clients", (unsigned long long)n->host.round,
            (unsigned long long)n->host.reports, (unsigned)up);
  bool is_whole = s->is_calm && s->counter > 0 && s->node_count == s->honest_count;
  if (is_whole && n->host.reports < up && s->lost == s->mark) {
    sim_fail(s, n, "%llu reports of %u clients, although nothing is lost any more", (unsigned long long)n->host.reports,
             (unsigned)up);
  }
  n->host.is_round_open = false;
  if (s->is_calm && s->counter++ >= CALM_ROUNDS) {
    later(s, n, 5 * SIM_SECOND, PUBLISH);
  } else {
    later(s, n, SIM_SECOND, START);
  }
}

static bool is_same(const sim_buf *a, const sim_buf *b) {
  return a->len != 0 && a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static uint32_t count_different(const sim *s) {
  uint32_t count = 0;
  for (uint32_t i = 1; i < s->honest_count; i++) {
    if (s->nodes[i].state == SIM_UP) { count += !is_same(&s->nodes[0].host.model, &s->nodes[i].host.model); }
  }
  return count;
}

static void publish(sim *s, sim_node *n) {
  if (n->host.model.len != 0 && count_different(s) == 0) { return; }
  (void)sim_tell(n, "publish", (bbw_bytes){(const uint8_t *)"go", 2});
  later(s, n, 20 * SIM_SECOND, PUBLISH);
}

static void app(sim *s, sim_node *n, uint64_t what) {
  if (what >> 8 != n->life || n->state == SIM_DOWN) { return; }
  if (n->state == SIM_FROZEN) {
    sim_app(s, n, 100 * SIM_MS, what);
    return;
  }
  switch (what & 0xff) {
  case START: start_round(s, n); return;
  case FINISH:
    if (n->host.is_round_open) { finish_round(s, n); }
    return;
  default: publish(s, n); return;
  }
}

static void reported(sim *s, sim_node *n, bbw_bytes value) {
  bbw_value *list;
  uint32_t peer;
  if (bbw_value_decode(&list, bbw_type_hash(BBW_TYPE_COMPOSITE), value, &bbw_mem_libc, NULL) != BBW_OK) {
    sim_fail(s, n, "a report is not what the program makes");
    return;
  }
  const bbw_value *round = list->as.list.items[0], *from = list->as.list.items[1];
  if (!sim_peer_index(from->as.bytes, &peer) || peer >= s->node_count || !sim_accepts(n, peer)) {
    sim_fail(s, n, "takes a contribution against its lists");
  }
  bool is_current = round->type == BBW_TYPE_BYTES && round->as.bytes.len == 8 &&
                    sim_load_u64(round->as.bytes.ptr) == n->host.round;
  n->host.reports += is_current;
  bbw_value_release(list, &bbw_mem_libc);
}

static void output(sim *s, sim_node *n, bbw_str topic, bbw_bytes value) {
  if (SIM_IS(topic, "report")) { reported(s, n, value); }
  if (SIM_IS(topic, "average")) { n->host.round_exec = 0; }
  if (SIM_IS(topic, "published") || SIM_IS(topic, "model")) {
    n->host.model.len = 0;
    sim_buf_put(&n->host.model, value.ptr, value.len);
  }
}

static void step(sim *s, sim_node *n, const bbw_step *st) {
  (void)s;
  bool is_end = st->kind == BBW_STEP_OP_FAILED && n->host.round_exec != 0 &&
                bbw_step_u64(st, "exec_id") == n->host.round_exec;
  if (is_end) { n->host.round_exec = 0; }
}

static void calm(sim *s) { s->counter = 0; /* rounds ended since; the first may have begun before */ }

static void end(sim *s) {
  if (s->queue.count != 0) { sim_fail(s, NULL, "it does not come to rest: %zu events are left", s->queue.count); }
  if (count_different(s) != 0) { sim_fail(s, NULL, "%u models differ from the server's", count_different(s)); }
  for (uint32_t i = 0; i < s->honest_count && !s->is_failed; i++) {
    if (s->nodes[i].state == SIM_UP) { sim_check_rest(&s->nodes[i]); }
  }
  if (s->nodes[0].host.round_exec != 0) { sim_fail(s, &s->nodes[0], "the last round does not end"); }
}

const sim_scenario sim_fedavg = {"fedavg", 3, 2, 12, setup, installed, app, output, step, calm, end};
