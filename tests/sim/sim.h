/*
 * sim: many Nodes in one process, a virtual clock, and a network that does to their envelopes what networks do.
 *
 * A run is its seed: the seed draws the scenario, the number of Nodes, their configuration, the network and the faults (draw.c).  One heap of events drives everything; a Node is touched
 * only through the public C API (include/bbw), as a host would: deliver, tick, poll, act on the steps, arm the next timer.  Everything that happens is mixed into one hash, so that two
 * runs of one seed can be compared, natively and in WebAssembly.
 *
 * A run has two parts.  Until calm_ns faults happen.  Then the network is whole, crashed Nodes are up again, frozen ones awake, liars silent, and the scenario has until end_ns to come to
 * what it promises (every request has an outcome, every round ends, all models are equal).  Invariants of single Nodes are checked after every poll (host.c: check_bounds).
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "base.h"
#include "program.h"

#define SIM_MS           UINT64_C(1000000)
#define SIM_SECOND       UINT64_C(1000000000)
#define SIM_NEVER        UINT64_MAX
#define SIM_ASKED_MAX    4u  /* peers that one question goes to at most */
#define SIM_REPEATED_MAX 64u /* questions that a Node asks again after a crash */
#define SIM_ASK          1u  /* what the storm's application does: it asks somebody */
#define SIM_SEEN_MAX     32u /* envelopes of others that liars have heard */
#define SIM_SLOW_MAX     4u

typedef struct sim sim;
typedef struct sim_node sim_node;
typedef struct sim_scenario sim_scenario;

typedef enum sim_event_kind {
  SIM_DELIVER,     /* p: message, a: how often the Node has refused it for lack of room */
  SIM_WAKE,        /* a: life of the Node */
  SIM_COMPLETE,    /* a: id of the command */
  SIM_SEND_FAILED, /* a: the peer; p: the request id, allocated */
  SIM_FAULT,       /* a: index of the fault; twice, for its begin and its end */
  SIM_SNAPSHOT,
  SIM_LIE,
  SIM_APP, /* a: what the scenario has asked for */
  SIM_CALM,
  SIM_ROOM, /* a: index of the slow connection << 32 | bytes that its transport takes; UINT32_MAX: it is slow no more */
} sim_event_kind;

typedef enum sim_fault_kind {
  SIM_CRASH,      /* gone, and back from its last snapshot (or with nothing) at the end */
  SIM_FREEZE,     /* does not run; what arrives waits */
  SIM_LEAVE,      /* gone for ever */
  SIM_PARTITION,  /* two halves do not hear each other */
  SIM_CLOCK_JUMP, /* by amount, forwards or back */
  SIM_STORM,      /* the whole network loses and delays more */
  SIM_TWIN,       /* a second Node, restored from a snapshot of this one, does the same and must do it alike */
  SIM_LISTS,      /* blocks a peer, or allows only some; undone at the end */
  SIM_FAULT_KIND_COUNT,
} sim_fault_kind;

typedef struct sim_fault {
  sim_fault_kind kind;
  uint32_t node;
  uint64_t from_ns, to_ns;
  int64_t amount;
} sim_fault;

/* A transport that takes hardly anything for a peer, for a while. */
typedef struct sim_slow {
  uint32_t node, peer;
  uint32_t life; /* of the Node that was told so; 0: none */
} sim_slow;

/* How the network treats an envelope.  ppm: in a million. */
typedef struct sim_link {
  uint64_t base_ns, spread_ns; /* latency: base + a draw */
  uint32_t shape; /* of the draw: 0 even, 1 bell (sum of three), 2 heavy tail (doubles with each head of a coin) */
  uint64_t loss_ppm, twice_ppm;
  uint64_t told_ppm;         /* of what is lost, the sender's transport notices so much */
  uint64_t bytes_per_second; /* of each sender; 0: no limit */
  uint64_t backlog_ns;       /* what would wait longer at the sender is lost */
} sim_link;

typedef struct sim_message {
  uint32_t refs;
  uint32_t from; /* number of the sender */
  size_t len;
  uint8_t bytes[];
} sim_message;

/* A question that the application of a Node has asked. */
typedef struct sim_request {
  uint64_t number; /* the application's; it is in the payload */
  uint64_t id;     /* the Node's; 0 until it is known */
  uint64_t exec_id;
  uint32_t peers[SIM_ASKED_MAX]; /* who was asked; the first answer of any of them is the outcome */
  uint32_t peer_count;
  uint32_t answered; /* a bit per peer */
  uint32_t life;     /* of the Node, when it was asked */
  bool has_outcome;
} sim_request;

/* What the application beside a Node knows.  It is saved with the Node's snapshots and comes back with them. */
typedef struct sim_host {
  sim_request *requests;
  size_t request_count, request_cap;
  uint64_t *early; /* ids of requests that had an outcome before the application knew them */
  size_t early_count, early_cap;
  uint64_t *commands; /* operators of the data source that wait for the host */
  size_t command_count, command_cap;
  uint64_t receive_failures; /* fills that the Node reported as lost */
  bool *blocked;             /* per Node; NULL: nobody */
  bool *allowed;             /* NULL: everybody */
  uint64_t round;            /* of the scenario */
  uint64_t round_exec;       /* the execution that ends the round; 0: none is under way */
  uint64_t reports;          /* of this round */
  bool is_round_open;
  bool is_joined;
  sim_buf model; /* payload of the last model output */
} sim_host;

typedef enum sim_state { SIM_UP, SIM_DOWN, SIM_FROZEN, SIM_GONE } sim_state;

struct sim_node { /* what every event of a Node reads comes first */
  bbw_node *node, *twin;
  sim *sim;
  uint64_t wake_ns; /* SIM_NEVER: not scheduled */
  uint32_t index;   /* its peer id is the number index + 1 */
  uint32_t life;    /* counts installs, so that events for an earlier life are known */
  sim_state state;
  bool is_liar, is_dirty;
  uint64_t back_ns; /* while it is down: when it will be up again */
  sim_mem mem;
  uint64_t clock_at_ns, clock_ns; /* local time clock_ns at clock_at_ns ... */
  int64_t drift_ppm;              /* ... and this much faster since */
  uint64_t steps;                 /* records reported */
  uint64_t link_free_ns;
  const char *target;
  const sim_buf *model; /* the artifact */
  sim_mem twin_mem;
  sim_message **inbox; /* while frozen */
  size_t inbox_count, inbox_cap;
  sim_buf snapshot; /* empty: none */
  sim_host host, saved;
  uint32_t asked[SIM_REPEATED_MAX]; /* whom it has asked since its last snapshot, the first ones */
  uint32_t asked_count;
};

typedef struct sim_options {
  uint64_t seed;
  const char *scenario; /* NULL: the seed chooses */
  uint32_t nodes;       /* 0: the seed chooses */
  bool is_calm;         /* no faults, a fast network */
  bool is_traced;
  uint64_t amount; /* of work, for measuring; 0: the seed chooses */
} sim_options;

typedef struct sim_result {
  const char *scenario;
  uint32_t nodes;
  bool is_ok;
  char reason[320];
  uint64_t hash, events, delivered, polls, virtual_ns, faults, lies, peak_bytes;
} sim_result;

struct sim_scenario {
  const char *name;
  uint32_t weight; /* how often seeds draw it */
  uint32_t nodes_min, nodes_max;
  void (*setup)(sim *s);                                    /* programs; which Node runs what; first events */
  void (*installed)(sim *s, sim_node *n, bool is_restored); /* a Node is up: from the start, or again */
  void (*app)(sim *s, sim_node *n, uint64_t what);          /* an event asked for with sim_app */
  void (*output)(sim *s, sim_node *n, bbw_str topic, bbw_bytes value); /* of a program */
  void (*step)(sim *s, sim_node *n, const bbw_step *step);             /* any other step */
  void (*calm)(sim *s);
  void (*end)(sim *s);
};

struct sim {
  sim_options options;
  const sim_scenario *scenario;
  uint64_t now_ns, calm_ns, end_ns;
  bool is_calm, is_done; /* done: the scenario needs no more events */
  bool is_failed, is_twin_polled;
  char reason[320];
  sim_rng draw, net, app, lies;
  sim_queue queue;
  sim_pool pool; /* of all Nodes and messages */
  sim_node *nodes;
  uint32_t node_count, honest_count; /* liars come last */
  sim_link link;
  uint64_t partition; /* 0: none; else the seed of who is on which side */
  bool is_storm;
  sim_fault *faults;
  size_t fault_count;
  sim_slow slow[SIM_SLOW_MAX];
  size_t slow_count;
  bbw_config config;
  uint64_t poll_every_ns; /* a host polls so long after something came in */
  uint64_t snapshot_every_ns;
  uint64_t work_min_ns, work_max_ns; /* how long the data source takes */
  sim_buf models[2];                 /* artifacts of the scenario */
  uint64_t variant;                  /* the scenario's own choices */
  bbw_component_type data_type, mean_type;
  const bbw_component_type *types[2];
  sim_message *seen[SIM_SEEN_MAX];
  uint64_t seen_count;
  uint64_t live_bytes, peak_bytes;
  uint64_t hash, events, delivered, polls, happened, lies_told;
  uint64_t lost;    /* envelopes that did not arrive, and fills that a Node has refused */
  uint64_t mark;    /* of the scenario: `lost` at the begin of something */
  uint64_t counter; /* numbers for the application */
  uint32_t *askers; /* who has asked question number i */
  size_t asker_cap;
  bool is_keeping; /* a relay keeps what is for a Node that will be back in a moment */
  bool has_gates;  /* no answer may appear twice */
  bool is_waiting; /* the operator that asks waits for the answer */
};

/* sim.c: the loop. */
void sim_run(const sim_options *options, sim_result *out);
void sim_fail(sim *s, const sim_node *n, const char *format, ...);  /* the first one counts */
void sim_trace(sim *s, const sim_node *n, const char *format, ...); /* for readers; changes nothing */
void sim_note(sim *s, uint64_t value);                              /* into the hash */
void sim_note_bytes(sim *s, const uint8_t *bytes, size_t len);
void sim_at(sim *s, uint64_t at_ns, sim_event_kind kind, const sim_node *n, uint64_t a, void *p);
void sim_app(sim *s, const sim_node *n, uint64_t delay_ns, uint64_t what);
const sim_scenario *sim_scenario_named(const char *name);

/* draw.c: what the seed says. */
void sim_draw(sim *s);
void sim_draw_faults(sim *s); /* after setup */
void sim_draw_slow(sim *s);   /* from a stream of its own */

/* host.c: one Node and what a host does with it. */
uint64_t sim_clock(const sim_node *n); /* its local time now */
void sim_clock_jump(sim_node *n, int64_t by_ns);
void sim_install(sim_node *n);   /* from its snapshot if it has one */
void sim_uninstall(sim_node *n); /* checks that all memory came back */
void sim_save(sim_node *n);
void sim_twin(sim_node *n);
void sim_untwin(sim_node *n);
void sim_touch(sim_node *n); /* something came in: poll after poll_every_ns */
void sim_wake(sim_node *n);  /* tick, poll until nothing is left, arm the next timer */
void sim_send_failed(sim_node *n, uint32_t peer, uint64_t request_id);
bbw_status sim_receive(sim_node *n, uint32_t from, bbw_bytes envelope);
bbw_status sim_tell(sim_node *n, const char *input, bbw_bytes bytes); /* deliver_event */
bbw_status sim_invoke(sim_node *n, const bbw_named_bytes *inputs, size_t count, uint64_t *exec_id);
bbw_status sim_complete(sim_node *n, uint64_t cmd_id, const bbw_typed_bytes *results, size_t count);
void sim_know(sim_node *n, uint32_t peer); /* add_peer */
void sim_room(sim_node *n, uint32_t peer, uint64_t bytes);
void sim_block(sim_node *n, uint32_t peer, bool is_blocked);
void sim_allow(sim_node *n, const bool *allowed);   /* NULL: everybody */
bool sim_accepts(const sim_node *n, uint32_t peer); /* what its lists say */
bool sim_is_idle(const sim_node *n);
/* Gossip believes what peers say about who exists (docs/SECURITY.md), so with liars its books may hold anything. */
bool sim_is_gullible(const sim *s);
void sim_check_book(sim_node *n); /* what it believes of other peers is true and bounded */
void sim_check_rest(sim_node *n); /* at the end: nothing is queued, held, charged or waited for */
void sim_host_copy(sim *s, sim_host *to, const sim_host *from);
void sim_host_free(sim_host *host);
size_t sim_peer_bytes(uint32_t index, uint8_t out[BBW_PEER_ID_BYTES_MAX]);
bool sim_peer_index(bbw_bytes peer, uint32_t *out);
size_t sim_peer_list(const uint32_t *peers, size_t count, uint8_t *out); /* payload of PeerIdVec; 8 + 18 bytes each */

/* net.c */
sim_message *sim_message_new(sim *s, uint32_t from, bbw_bytes bytes);
void sim_message_release(sim *s, sim_message *message);
void sim_send(sim *s, sim_node *from, uint32_t to, sim_message *message); /* takes the message over */
void sim_arrive(sim *s, sim_node *n, sim_message *message, uint64_t offers);
uint64_t sim_request_id(bbw_bytes envelope); /* 0: none */

/* faults.c */
void sim_fault_happens(sim *s, sim_fault *fault);
void sim_calm(sim *s);
void sim_slow_happens(sim *s, uint64_t what);
bool sim_is_slow(const sim_node *n); /* to some peer: envelopes may wait */

/* liar.c */
void sim_lie(sim *s, sim_node *liar);

/* requests.c: the bookkeeping of questions and answers that several scenarios share. */
void sim_ask(sim_node *n, const uint32_t *peers, size_t count);
void sim_request_output(sim_node *n, bbw_str topic, bbw_bytes value);
void sim_request_step(sim_node *n, const bbw_step *step);
void sim_requests_check(sim_node *n);
extern const char sim_echo_program[], sim_echo_program_dedup[], sim_await_program[];

/* data.c: the components that the simulator brings. */
void sim_data_type(sim *s);
void sim_data_complete(sim_node *n, uint64_t cmd_id);

extern const sim_scenario sim_storm, sim_join, sim_fedavg, sim_gossip, sim_churn, sim_relay;

#define SIM_IS(str, literal) ((str).len == sizeof(literal) - 1 && memcmp((str).ptr, literal, sizeof(literal) - 1) == 0)

#endif
