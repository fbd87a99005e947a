/* requests: questions with a number, their answers, and the rule that every question has an outcome. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

/* The asker learns the id of its request together with the question, and who gave an answer together with the answer. */
const char sim_echo_program[] = "target E x peers -> asked heard answered\n"
                                "wire::Send x peers -> d h | to.x=E.q\n"
                                "composite::Bundle h x -> asked\n"
                                "wire::Recv -> q peer\n"
                                "composite::Bundle q peer -> heard\n"
                                "wire::Send q peer -> d2 h2 | to.q=E.a\n"
                                "wire::Recv -> a from\n"
                                "composite::Bundle a from -> answered\n";

/* The same with a gate, behind which no answer appears twice. */
const char sim_echo_program_dedup[] = "target E x peers -> asked heard answered\n"
                                      "wire::Send x peers -> d h | to.x=E.q\n"
                                      "composite::Bundle h x -> asked\n"
                                      "wire::Recv -> q peer\n"
                                      "syscall::PeerHealthGateRx q -> q1\n"
                                      "composite::Bundle q1 peer -> heard\n"
                                      "wire::Send q1 peer -> d2 h2 | to.q1=E.a\n"
                                      "wire::Recv -> a from\n"
                                      "syscall::DedupGateRx a -> a1\n"
                                      "composite::Bundle a1 from -> answered\n";

/* The operator that asks waits: the answer, or why there is none, comes out beside the question that it belongs to. */
const char sim_await_program[] = "target E x peers -> heard came lost\n"
                                 "wire::Send x peers -> d h a from f | to.x=E.q await=1\n"
                                 "composite::Bundle a x -> both\n"
                                 "composite::Bundle both from -> came\n"
                                 "composite::Bundle f x -> lost\n"
                                 "wire::Recv -> q peer\n"
                                 "composite::Bundle q peer -> heard\n"
                                 "wire::Send q -> sent | reply=1\n";

void sim_ask(sim_node *n, const uint32_t *peers, size_t count) {
  sim *s = n->sim;
  if (count > SIM_ASKED_MAX) { sim_fail(s, n, "asks more peers than can be kept"); }
  if (s->is_failed) { return; }
  uint8_t payload[8 + 64] = {0};
  uint8_t *list = sim_alloc(8 + 26 * count);
  uint64_t number = ++s->counter, exec_id;
  size_t len = 8 + (size_t)sim_rng_below(&s->app, 64);
  sim_store_u64(payload, number);
  s->askers = sim_grow(s->askers, &s->asker_cap, (size_t)number + 1, sizeof(*s->askers));
  s->askers[number] = n->index;
  bbw_named_bytes inputs[2] = {{BBW_STR("x"), {payload, len}},
                               {BBW_STR("peers"), {list, sim_peer_list(peers, count, list)}}};
  bbw_status rv = sim_invoke(n, inputs, 2, &exec_id);
  free(list);
  sim_trace(s, n, "asks n%u question %llu (%d)", (unsigned)peers[0], (unsigned long long)number, (int)rv);
  if (rv == BBW_E_INGRESS_FULL || rv == BBW_E_BUDGET_EXCEEDED) { return; } /* it was told so: that is an outcome */
  if (rv != BBW_OK) {
    sim_fail(s, n, "invoke: status %d", (int)rv);
    return;
  }
  sim_host *host = &n->host;
  host->requests = sim_grow(host->requests, &host->request_cap, host->request_count + 1, sizeof(*host->requests));
  sim_request *request = &host->requests[host->request_count++];
  *request = (sim_request){.number = number, .exec_id = exec_id, .peer_count = (uint32_t)count, .life = n->life};
  if (n->asked_count < SIM_REPEATED_MAX) { n->asked[n->asked_count++] = peers[0]; }
  memcpy(request->peers, peers, count * sizeof(*peers));
}

/* Numbers grow, so the list is in order. */
static sim_request *find(sim_host *host, uint64_t number) {
  size_t low = 0, high = host->request_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (host->requests[middle].number < number) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < host->request_count && host->requests[low].number == number ? &host->requests[low] : NULL;
}

static bool number_in(const bbw_value *value, uint64_t *out) {
  bool is_bytes = value->type == BBW_TYPE_BYTES && value->as.bytes.len >= 8;
  if (is_bytes) { *out = sim_load_u64(value->as.bytes.ptr); }
  return is_bytes;
}

static void asked(sim_node *n, const bbw_value *id, const bbw_value *x) {
  uint64_t number;
  sim_request *request = number_in(x, &number) ? find(&n->host, number) : NULL;
  if (request == NULL || id->type != BBW_TYPE_WIRE_REQ_ID) {
    sim_fail(n->sim, n, "has sent a question that nobody asked");
    return;
  }
  request->id = id->as.u64;
  for (size_t i = 0; i < n->host.early_count; i++) {
    if (n->host.early[i] == request->id) { request->has_outcome = true; }
  }
  sim_trace(n->sim, n, "question %llu is request %llu", (unsigned long long)number, (unsigned long long)request->id);
}

static bool sender_of(sim_node *n, const bbw_value *peer, uint32_t *out) {
  if (peer->type != BBW_TYPE_PEER_ID || !sim_peer_index(peer->as.bytes, out) || *out >= n->sim->node_count) {
    sim_fail(n->sim, n, "has heard from a peer that does not exist");
    return false;
  }
  if (!sim_accepts(n, *out)) {
    sim_fail(n->sim, n, "accepts what n%u sends, against its lists", (unsigned)*out);
    return false;
  }
  return true;
}

/* A question that is heard from an honest Node is one that it has asked. */
static void heard(sim_node *n, const bbw_value *q, const bbw_value *from) {
  sim *s = n->sim;
  uint32_t sender;
  uint64_t number = 0;
  if (!sender_of(n, from, &sender) || s->nodes[sender].is_liar) { return; }
  if (!number_in(q, &number) || number == 0 || number > s->counter || s->askers[number] != sender) {
    sim_fail(s, n, "hears a question from n%u that it has not asked", (unsigned)sender);
  }
}

static void answered(sim_node *n, const bbw_value *a, const bbw_value *from) {
  uint32_t sender;
  uint64_t number;
  if (!sender_of(n, from, &sender) || !number_in(a, &number)) { return; }
  sim_request *request = find(&n->host, number);
  uint32_t k = 0;
  while (request != NULL && k < request->peer_count && request->peers[k] != sender) { k++; }
  if (request == NULL || k == request->peer_count) {
    return;
  } /* of an earlier life, or from somebody who was not asked */
  sim_trace(n->sim, n, "question %llu is answered by n%u", (unsigned long long)number, (unsigned)sender);
  /* What waited in the queue of an earlier life is asked again by this one, as another request. */
  if ((request->answered >> k & 1) != 0 && n->sim->has_gates && request->life == n->life) {
    sim_fail(n->sim, n, "question %llu is answered twice", (unsigned long long)number);
  }
  request->answered |= 1u << k;
  request->has_outcome = true;
  n->host.is_joined = true;
}

/* The question that an outcome belongs to; NULL: that of an earlier life. */
static sim_request *ended(sim_node *n, const bbw_value *x) {
  uint64_t number;
  sim_request *request = number_in(x, &number) ? find(&n->host, number) : NULL;
  if (request == NULL) { return NULL; }
  if (request->has_outcome && request->life == n->life) {
    sim_fail(n->sim, n, "question %llu has two outcomes", (unsigned long long)number);
  }
  request->has_outcome = true;
  return request;
}

static void came(sim_node *n, const bbw_value *both, const bbw_value *from) {
  uint32_t sender, k = 0;
  uint64_t number;
  if (!sender_of(n, from, &sender) || both->type != BBW_TYPE_COMPOSITE || both->as.list.count != 2) { return; }
  const sim_request *request = ended(n, both->as.list.items[1]);
  if (request == NULL) { return; }
  while (k < request->peer_count && request->peers[k] != sender) { k++; }
  bool is_answer = number_in(both->as.list.items[0], &number) && number == request->number;
  if (!is_answer || k == request->peer_count) {
    sim_fail(n->sim, n, "takes for the answer to question %llu what n%u has said to something else",
             (unsigned long long)request->number, (unsigned)sender);
  }
}

void sim_request_output(sim_node *n, bbw_str topic, bbw_bytes value) {
  bbw_value *pair;
  bbw_status rv = bbw_value_decode(&pair, bbw_type_hash(BBW_TYPE_COMPOSITE), value, &bbw_mem_libc, NULL);
  if (rv != BBW_OK || pair->as.list.count != 2) {
    sim_fail(n->sim, n, "an output is not the pair that the program makes");
    if (rv == BBW_OK) { bbw_value_release(pair, &bbw_mem_libc); }
    return;
  }
  const bbw_value *first = pair->as.list.items[0], *second = pair->as.list.items[1];
  if (SIM_IS(topic, "asked")) { asked(n, first, second); }
  if (SIM_IS(topic, "heard")) { heard(n, first, second); }
  if (SIM_IS(topic, "answered")) { answered(n, first, second); }
  if (SIM_IS(topic, "came")) { came(n, first, second); }
  if (SIM_IS(topic, "lost")) { (void)ended(n, second); }
  bbw_value_release(pair, &bbw_mem_libc);
}

void sim_request_step(sim_node *n, const bbw_step *step) {
  sim_host *host = &n->host;
  if (step->kind == BBW_STEP_OP_FAILED && n->sim->is_waiting) { /* it could not even begin to wait */
    uint64_t exec_id = bbw_step_u64(step, "exec_id");
    for (size_t i = host->request_count; i-- > 0;) {
      if (host->requests[i].exec_id != exec_id) { continue; }
      host->requests[i].has_outcome = true;
      return;
    }
  }
  if (step->kind == BBW_STEP_WIRE_TIMEOUT && !n->sim->is_waiting) {
    uint64_t id = bbw_step_u64(step, "wire_req_id");
    for (size_t i = host->request_count; i-- > 0;) {
      if (host->requests[i].id == id) {
        sim_trace(n->sim, n, "question %llu has no answer", (unsigned long long)host->requests[i].number);
        host->requests[i].has_outcome = true;
        return;
      }
    }
    /* A Node that may run few operators in a poll sends an envelope before it gives the output that says under which id. */
    host->early = sim_grow(host->early, &host->early_cap, host->early_count + 1, sizeof(*host->early));
    host->early[host->early_count++] = id;
  }
}

void sim_requests_check(sim_node *n) {
  uint64_t open = 0, unsent = 0, first = 0;
  for (size_t i = 0; i < n->host.request_count; i++) {
    const sim_request *request = &n->host.requests[i];
    if (request->has_outcome) { continue; }
    if (open++ == 0) { first = request->number; }
    unsent += request->id == 0;
  }
  if (open > n->host.receive_failures) {
    sim_fail(n->sim, n, "%llu questions have no outcome, the first is question %llu; %llu were not even sent",
             (unsigned long long)open, (unsigned long long)first, (unsigned long long)unsent);
  }
}
