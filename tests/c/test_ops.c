/* Operators: one row per behaviour of the operator specification §3, and a test that no operator is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "artifact.h"
#include "base/bytes.h"
#include "bbw/step.h"
#include "ops/ops.h"
#include "test_mem.h"

#define LOG_BYTES_MAX 2048
#define INPUTS_MAX    6

/* Values that are not bytes come from operators that the host completes. */
#define BOOK                                                                                                   \
  "target M x t q -> y\nsyscall::After x -> xp | delay_ns=900\nsyscall::After x -> xa | delay_ns=900\n"        \
  "address_book::Insert xp xa\nsyscall::After t -> tp | delay_ns=900\nsyscall::After t -> ta | delay_ns=900\n" \
  "address_book::InsertMany tp ta\nsyscall::After q -> qp | delay_ns=900\naddress_book::Lookup qp -> y"
#define SEND                                                                                   \
  "target M x -> d h\nsyscall::After x -> peers | delay_ns=900\nsyscall::PassThrough x -> v\n" \
  "wire::Send v peers -> d h"
#define PEER_7 "0a0000000000000000080000000000000007"
#define SITE_5 "0100000000000000010000000500000000000000"
#define SITE_6 "0100000000000000010000000600000000000000"

/*
 * A script is a list of words:
 *   x=6869        an input for the next invoke, in hex        !            invoke with the inputs given so far, poll until nothing is left
 *   @5            the clock moves to 5 ns, poll                 peer2       peer 2 becomes known          block2      peer 2 is blocked
 *   <2:HEX        an envelope from peer 2                       ~start      the lifecycle phase fires
 *   #0p:HEX       command 0 completes with a PeerId (p), PeerIdVec (l), Address (a), AddressVec (v), CommandId (c) or a Trigger (t)
 * What it must log: application events as topic=hex, failures as op!reason, "later" for a parked op, ">2" for an envelope to peer 2, "?2" for a peer that is not known.
 */
static const struct {
  const char *name, *graph, *script, *log;
} cases[] = {
    {"PassThrough forwards its input", "target M x -> y\nsyscall::PassThrough x -> y", "x=01 !", "y=01"},
    {"Tee copies to as many outputs as its fanout says", "target M x -> a b c\nsyscall::Tee x -> a b c | fanout=2",
     "x=01 !", "a=01 b=01"},
    {"Tee copies to two outputs by default", "target M x -> a b\nsyscall::Tee x -> a b", "x=01 !", "a=01 b=01"},
    {"Tee with a huge fanout costs nothing", "target M x -> a\nsyscall::Tee x -> a | fanout=1099511627776", "x=01 !",
     "a=01"},
    {"Constant without its tensor fails", "target M x -> y\nsyscall::Constant -> y", "!", "Constant!"},
    {"Bundle joins, Unbundle parts, whatever the value is called",
     "target M x t -> a b\ncomposite::Bundle x t -> v\ncomposite::Unbundle v -> a b | "
     "ai.bytesandbrains.composite.child_count=2",
     "x=01 t=02 !", "a=01 b=02"},
    {"Unbundle without a count fails", "target M x -> a\ncomposite::Bundle x -> v\ncomposite::Unbundle v -> a",
     "x=01 !", "Unbundle!missing_child_count"},
    {"Unbundle with another count fails",
     "target M x -> a\ncomposite::Bundle x -> v\ncomposite::Unbundle v -> a | "
     "ai.bytesandbrains.composite.child_count=2",
     "x=01 !", "Unbundle!unbundle_child_count_mismatch"},
    {"Unbundle with a count below one fails",
     "target M x -> a\ncomposite::Bundle x -> v\ncomposite::Unbundle v -> a | "
     "ai.bytesandbrains.composite.child_count=0",
     "x=01 !", "Unbundle!child_count_below_one"},
    {"Unbundle of something else fails",
     "target M x -> a\ncomposite::Unbundle x -> a | ai.bytesandbrains.composite.child_count=1", "x=01 !",
     "Unbundle!expected_composite"},
    {"Bundle without inputs fails", "target M x -> v\ncomposite::Bundle -> v", "!", "Bundle!bundle_no_children"},
    {"Limit.Acquire lets one in, the next waits for Limit.Release",
     "target M x r -> got freed\nsyscall::Limit.Acquire x -> got | name='l'\nsyscall::Limit.Release r -> freed | "
     "name='l'",
     "x=01 ! x=01 ! r=01 !", "got= later freed= got="},
    {"Limit.Release without a holder does nothing", "target M r -> freed\nsyscall::Limit.Release r -> freed | name='l'",
     "r=01 !", "freed="},
    {"Any fires on the first input", "target M x t -> y\nsyscall::Any x t -> y", "t=02 !", "y=02"},
    {"Any of one group fires once per execution",
     "target M x -> a b\nsyscall::Any x -> a | group='g'\nsyscall::Any x -> b | group='g'", "x=01 ! x=02 !",
     "a=01 a=02"},
    {"Gate waits for its trigger", "target M x t -> y\nsyscall::Gate x t -> y", "x=01 ! x=03 t=02 !", "y=03"},
    {"Serialize is first in, first out",
     "target M x t -> q y\nsyscall::Serialize.Enqueue x -> q | queue='n'\nsyscall::Serialize.Dequeue t -> y | "
     "queue='n'",
     "x=01 ! x=02 ! t=00 ! t=00 ! t=00 !", "q= q= y=01 y=02"},
    {"CorrelateTag counts from one", "target M x -> y\nsyscall::CorrelateTag x -> y", "x=00 ! x=00 !",
     "y=0100000000000000 y=0200000000000000"},
    {"Hold keeps the last value and gives it once",
     "target M x t -> y\nsyscall::Hold.Stash x | slot='s'\nsyscall::Hold.Flush t -> y | slot='s'",
     "x=01 ! x=02 ! t=00 ! t=00 !", "y=02"},
    {"DeadlineCheck passes within its budget", "target M x -> y\nsyscall::DeadlineCheck x -> y | deadline_ns=10",
     "@500 x=01 !", "y="},
    {"DeadlineCheck fails when the budget is used up",
     "target M x -> y\nsyscall::After x -> a | delay_ns=10\nsyscall::DeadlineCheck a -> y | deadline_ns=10",
     "@500 x=01 ! @510", "later DeadlineCheck!"},
    {"DeadlineCheck without its attribute fails", "target M x -> y\nsyscall::DeadlineCheck x -> y", "x=01 !",
     "DeadlineCheck!"},
    {"GateDispatch fires when all inputs are there", "target M x t -> y\nsyscall::GateDispatch x t -> y",
     "x=01 ! x=01 t=01 !", "y="},
    {"Pulse fires at the start of an execution", "target M -> y\nsyscall::Pulse -> y", "!", "y="},
    {"OnTrigger turns anything into a trigger", "target M x -> y\nsyscall::OnTrigger x -> y", "x=01 !", "y="},
    {"OnTrigger without inputs fails", "target M x -> y\nsyscall::OnTrigger -> y", "!", "OnTrigger!"},
    {"Interval starts by itself and repeats", "target M -> y\nsyscall::Interval -> y | period_ns=10", "@5 @14 @15 @25",
     "y=0500000000000000 y=0f00000000000000 y=1900000000000000"},
    {"After answers later, with a trigger", "target M x -> y\nsyscall::After x -> y | delay_ns=10", "x=01 ! @9 @10",
     "later y="},
    {"After without a delay answers in the same round", "target M x -> y\nsyscall::After x -> y", "x=01 !", "later y="},
    {"Sleep gives a trigger when it is over", "target M x -> y\nsyscall::Sleep x -> y | duration_ns=10", "x=01 ! @10",
     "later y="},
    {"EventSource fires on the event of its kind",
     "target M x -> y e\nsyscall::Unknown x -> y\nsyscall::EventSource -> e | kind='OpFailure'", "x=01 !",
     "Unknown!unresolved_dispatch e="},
    {"Clock gives the node's time", "target M x -> y\nsyscall::Clock x -> y", "@7 x=01 !", "y=0700000000000000"},
    {"RngU64 follows the seed", "target M x -> y\nsyscall::RngU64 x -> y", "x=01 !", "y=afcd1d7b39a820e2"},
    {"DeadlineMatch fires on the first input only",
     "target M x t -> y\nsyscall::After t -> w | delay_ns=5\nsyscall::DeadlineMatch x w -> y", "x=01 t=01 ! @5",
     "later y="},
    {"DeadlineMatch without inputs fails", "target M x -> y\nsyscall::DeadlineMatch -> y", "!", "DeadlineMatch!"},
    {"AppEmit hands bytes to the application", "target M x\nsyscall::AppEmit x | name='n'", "x=0102 !", "n=0102"},
    {"AppEmit refuses what is not bytes", "target M x\nsyscall::OnTrigger x -> v\nsyscall::AppEmit v | name='n'",
     "x=01 !", "AppEmit!expected_bytes"},
    {"AppEmit refuses a reserved topic", "target M x\nsyscall::AppEmit x | name='bb.n'", "x=01 !",
     "AppEmit!reserved_topic_prefix"},
    {"AppNotify has no bytes", "target M x\nsyscall::AppNotify x | name='n'", "x=0102 !", "n="},
    {"Record gives a trigger where an output is declared", "target M x -> y\nsyscall::Record x -> y | name='n'",
     "x=01 !", "y="},
    {"IncrMetric counts", "target M x -> y\nsyscall::IncrMetric x -> y | name='n' delta=3", "x=01 ! x=01 !", "y= y="},
    {"BootstrapDispatch gives a command, and what completes it comes out of BootstrapOutput",
     "target M x -> cmd y\nsyscall::BootstrapDispatch x -> c\nsyscall::BootstrapOutput c -> y",
     "x=01 ! #0p:" PEER_7 " x=02 ! #1t:", "later y=" PEER_7 " later y="},
    {"BootstrapOutput needs its command", "target M x t -> y\nsyscall::BootstrapOutput -> y", "!", "BootstrapOutput!"},
    {"BootstrapOutput takes nothing but a command", "target M x -> y\nsyscall::BootstrapOutput x -> y", "x=01 !",
     "BootstrapOutput!"},
    {"one command is waited for once",
     "target M x -> y z\nsyscall::BootstrapDispatch x -> c\nsyscall::BootstrapOutput c -> y\n"
     "syscall::BootstrapOutput c -> z",
     "x=01 ! #0t:", "later BootstrapOutput!unknown_command y="},
    {"a command that no operator gave is not waited for",
     "target M x -> y\nsyscall::After x -> c | delay_ns=900\nsyscall::BootstrapOutput c -> y",
     "x=01 ! #0c:0700000000000000", "later BootstrapOutput!unknown_command"},
    {"Insert adds a peer, Insert adds an address, Lookup gives them all in order", BOOK,
     "x=01 ! #0p:" PEER_7 " #1a:" SITE_5 " x=01 ! #2p:" PEER_7 " #3a:" SITE_6 " q=01 ! #4p:" PEER_7,
     "later later later later later y=0200000000000000" SITE_5 SITE_6},
    {"InsertMany adds a peer with its addresses", BOOK,
     "t=01 ! #0p:" PEER_7 " #1v:0200000000000000" SITE_5 SITE_6 " q=01 ! #2p:" PEER_7,
     "later later later y=0200000000000000" SITE_5 SITE_6},
    {"Insert needs an address", BOOK, "x=01 ! #0p:" PEER_7 " #1t:", "later later Insert!expected_multiaddress"},
    {"InsertMany needs a list of addresses", BOOK, "t=01 ! #0p:" PEER_7 " #1a:" SITE_5,
     "later later InsertMany!expected_address_vec"},
    {"InsertMany of no address fails", BOOK, "t=01 ! #0p:" PEER_7 " #1v:0000000000000000",
     "later later InsertMany!address_book_insert_many_empty"},
    {"Lookup of a peer that is not known fails", BOOK, "q=01 ! #0p:" PEER_7, "later Lookup!address_book_lookup_miss"},
    {"Insert without an address fails", "target M x\nsyscall::After x -> p | delay_ns=900\naddress_book::Insert p",
     "x=01 ! #0p:" PEER_7, "later Insert!missing_addr"},
    {"InsertMany without addresses fails",
     "target M x\nsyscall::After x -> p | delay_ns=900\naddress_book::InsertMany p", "x=01 ! #0p:" PEER_7,
     "later InsertMany!missing_addresses"},
    {"Insert needs a peer id", "target M x t\naddress_book::Insert x t", "x=01 t=02 !", "Insert!expected_peer_id"},
    {"InsertMany needs a peer id", "target M x t\naddress_book::InsertMany x t", "x=01 t=02 !",
     "InsertMany!expected_peer_id"},
    {"Lookup needs a peer id", "target M x -> y\naddress_book::Lookup x -> y", "x=01 !", "Lookup!expected_peer_id"},
    {"Lookup gives the addresses of the sender of an envelope",
     "target M -> y\nwire::Recv -> p s\naddress_book::Lookup s -> y",
     "peer2 <2:12210a0ae2010000000000000000120901000000000000000720bdd2a888cce18cc11d3801",
     "y=01000000000000000100000000000000010000000000000000000000"},
    {"Send reaches every known peer and reports the others", "target M x peers -> d h\nwire::Send x peers -> d h",
     "peer2 x=01 peers=02000000000000000a00000000000000000800000000000000020a0000000000000000080000000000000003 !",
     ">2 ?3 d= h=0100000000000000"},
    {"Send takes a list of peers as a value", SEND,
     "peer2 x=01 ! #0l:01000000000000000a0000000000000000080000000000000002", "later >2 d= h=0100000000000000"},
    {"Send takes one peer as a value", SEND, "peer2 x=01 ! #0p:0a0000000000000000080000000000000002",
     "later >2 d= h=0100000000000000"},
    {"Send to an address fails", SEND, "peer2 x=01 ! #0a:" SITE_5, "later Send!expected_peers"},
    {"Send without peers fails", "target M x t -> d h\nwire::Send x t -> d h", "x=01 t=02 !", "Send!expected_peers"},
    {"Recv receives what is addressed to it", "target M -> y\nwire::Recv -> p s\nsyscall::PassThrough p -> y",
     "<2:12210a0ae2010000000000000000120901000000000000000720bdd2a888cce18cc11d3801", "y=07"},
    {"nothing but a Recv can be addressed", "target M x -> y\nsyscall::PassThrough x -> y",
     "<2:12210a0ae2010000000000000000120901000000000000000720bdd2a888cce18cc11d3801", "decode!"},
    {"DedupGateRx drops a repeat of one request and lets the next one through",
     "target M -> y\nwire::Recv -> p s\nsyscall::DedupGateRx p -> y",
     "<2:12210a0ae2010000000000000000120901000000000000000720bdd2a888cce18cc11d1a0408011005 "
     "<2:12210a0ae2010000000000000000120901000000000000000720bdd2a888cce18cc11d1a0408011005 "
     "<2:12210a0ae2010000000000000000120901000000000000000720bdd2a888cce18cc11d1a0408011006",
     "y=07 DedupGateRx! y=07"},
    {"PeerHealthGateRx passes a peer in good standing, and needs a sender",
     "target M x -> y z\nwire::Recv -> p s\nsyscall::PeerHealthGateRx p -> y\nsyscall::PeerHealthGateRx x -> z",
     "<2:12210a0ae2010000000000000000120901000000000000000720bdd2a888cce18cc11d3801 x=01 !", "y=07 PeerHealthGateRx!"},
    {"BackoffGateRx passes a peer in good standing, and needs a sender",
     "target M x -> y z\nwire::Recv -> p s\nsyscall::BackoffGateRx p -> y\nsyscall::BackoffGateRx x -> z",
     "<2:12210a0ae2010000000000000000120901000000000000000720bdd2a888cce18cc11d3801 x=01 !", "y=07 BackoffGateRx!"},
    {"a blocked peer is stopped at the door", "target M -> y\nwire::Recv -> p s\nsyscall::PassThrough p -> y",
     "block2 <2:12210a0ae2010000000000000000120901000000000000000720bdd2a888cce18cc11d3801", "blocked2"},
    {"PeerHealthGateTx lets the value through, and refuses a blocked peer",
     "target M x -> y\nsyscall::PeerHealthGateTx x -> y | peer=@00080000000000000002", "x=01 ! block2 x=01 !",
     "y=01 PeerHealthGateTx!"},
    {"PeerHealthGateTx without a value gives a Trigger",
     "target M -> y\nsyscall::PeerHealthGateTx -> y | peer=@00080000000000000002", "!", "y="},
    {"PeerHealthGateTx needs its peer", "target M x -> y\nsyscall::PeerHealthGateTx x -> y", "x=01 !",
     "PeerHealthGateTx!"},
    {"BackoffGateTx lets the value through",
     "target M x -> y\nsyscall::BackoffGateTx x -> y | peer=@00080000000000000002", "x=01 !", "y=01"},
    {"BackoffGateTx refuses a peer that asked for time, and for as much as a quarter of it more",
     "target M x -> y\nsyscall::BackoffGateTx x -> y | peer=@00080000000000000002",
     "@1 "
     "<2:12300a0da5030a00080000000000000001121400ca9a3b0000000000000000000000000000000020c5afc8f3d0a084aa83011a003801 "
     "x=01 ! @1000000000 x=01 ! @1250000001 x=01 !",
     "BackoffGateTx! BackoffGateTx! y=01"},
    {"LifecyclePhase is wired at install", "target M -> y\nsyscall::LifecyclePhase -> y | phase='start'",
     "~start ~stop", "LifecycleFired y= LifecycleFired"},
    {"a called function sees its arguments and gives its results",
     "target M x -> y\nmodule::F x -> y\nfunction F p -> r\nsyscall::PassThrough p -> q\nsyscall::PassThrough q -> r",
     "x=01 !", "y=01"},
    {"a called function may wait",
     "target M x -> y\nmodule::F x -> b\nsyscall::Gate b x -> y\nfunction F p -> r\nsyscall::After p -> q | "
     "delay_ns=5\nsyscall::Gate p q -> r",
     "x=01 ! @5", "later y=01"},
    {"a function may give its argument back",
     "target M x -> y\nmodule::F x -> y\nfunction F p -> p\nsyscall::OnTrigger p -> q", "x=01 !", "y=01"},
    {"a function that calls itself for ever is stopped",
     "target M x -> y\nmodule::F x -> y\nfunction F p -> r\nmodule::F p -> r", "x=01 !", "F!call_depth"},
    {"an op that nothing implements fails by name", "target M x -> y\nno.such::Op x -> y", "x=01 !",
     "Op!unresolved_dispatch"},
};

typedef struct run {
  bbw_node *node;
  bbw_arena arena;
  bbw_named_bytes inputs[INPUTS_MAX];
  size_t input_count;
  char log[LOG_BYTES_MAX];
  size_t len;
} run;

static void log_bytes(run *r, const char *text, size_t len) {
  if (r->len + len + 1 > LOG_BYTES_MAX) { abort(); }
  memcpy(r->log + r->len, text, len);
  r->len += len;
  r->log[r->len] = '\0';
}

static void log_text(run *r, const char *text) { log_bytes(r, text, strlen(text)); }

static void log_step(run *r, const bbw_step *step, const char *graph) {
  char text[64];
  bbw_str topic = bbw_step_text(step, "topic");
  bbw_bytes bytes = bbw_step_bytes(step, "value_bytes");
  bbw_bytes peer = bbw_step_bytes(step, "peer");
  if (step->kind == BBW_STEP_OP_COMPLETED) { return; }
  if (r->len != 0) { log_text(r, " "); }
  switch (step->kind) {
  case BBW_STEP_APP_EVENT:
    log_bytes(r, topic.ptr, topic.len);
    log_text(r, "=");
    for (size_t i = 0; i < bytes.len; i++) {
      snprintf(text, sizeof(text), "%02x", bytes.ptr[i]);
      log_text(r, text);
    }
    break;
  case BBW_STEP_OP_FAILED: {
    /* The op's name: line number op_ref of its function, which is the target in all cases but those of calls. */
    uint64_t op_ref = bbw_step_u64(step, "op_ref");
    const char *line = op_ref >> 32 == 0 ? strchr(graph, '\n') : strchr(strstr(graph, "function"), '\n');
    for (uint64_t i = 0; i < (op_ref & 0xffffffff); i++) { line = strchr(line + 1, '\n'); }
    const char *name = strstr(line, "::") + 2;
    log_bytes(r, name, strcspn(name, " \n"));
    log_text(r, "!");
    log_bytes(r, bbw_step_text(step, "reason").ptr, bbw_step_text(step, "reason").len);
    break;
  }
  case BBW_STEP_ASYNC_SUSPENDED: log_text(r, "later"); break;
  case BBW_STEP_WIRE_DECODE_FAILED: log_text(r, "decode!"); break;
  case BBW_STEP_SEND_ENVELOPE:
  case BBW_STEP_PEER_RESOLVE_FAILED:
  case BBW_STEP_PEER_BLOCKED:
    log_text(r, step->kind == BBW_STEP_SEND_ENVELOPE ? ">" : (step->kind == BBW_STEP_PEER_BLOCKED ? "blocked" : "?"));
    snprintf(text, sizeof(text), "%u", peer.ptr[peer.len - 1]);
    log_text(r, text);
    break;
  default: log_text(r, bbw_step_name(step->kind).ptr); break;
  }
}

static void poll_all(run *r, const char *graph) {
  bool is_pending = false;
  for (int i = 0; i < 1000 && !is_pending; i++) {
    bbw_bytes steps;
    assert_int_equal(bbw_node_poll(r->node, &steps, &is_pending, NULL), BBW_OK);
    size_t at = 0;
    bbw_step step;
    while (bbw_steps_next(steps, &at, &step)) { log_step(r, &step, graph); }
  }
  assert_true(is_pending);
}

static bbw_bytes hex_of(run *r, const char *text, size_t len) {
  uint8_t *out = bbw_arena_array(&r->arena, len / 2, 1);
  assert_non_null(out);
  for (size_t i = 0; i + 1 < len; i += 2) {
    char two[3] = {text[i], text[i + 1], '\0'};
    out[i / 2] = (uint8_t)strtoul(two, NULL, 16);
  }
  return (bbw_bytes){out, len / 2};
}

static bbw_bytes peer_bytes(run *r, uint64_t number) {
  uint8_t *out = bbw_arena_array(&r->arena, BBW_PEER_ID_BYTES_MAX, 1);
  assert_non_null(out);
  bbw_peer_id peer = bbw_peer_id_from_u64(number);
  return (bbw_bytes){out, bbw_peer_id_encode(&peer, out)};
}

static bbw_type type_of(char letter) {
  switch (letter) {
  case 'p': return BBW_TYPE_PEER_ID;
  case 'l': return BBW_TYPE_PEER_ID_VEC;
  case 'a': return BBW_TYPE_ADDRESS;
  case 'v': return BBW_TYPE_ADDRESS_VEC;
  case 't': return BBW_TYPE_TRIGGER;
  case 'c': return BBW_TYPE_COMMAND_ID;
  default: abort();
  }
}

static void run_word(run *r, const char *graph, const char *word, size_t len) {
  const char *equals = memchr(word, '=', len);
  if (word[0] == '!') {
    uint64_t exec_id;
    assert_int_equal(bbw_node_invoke(r->node, BBW_STR("M"), r->inputs, r->input_count, &exec_id, NULL), BBW_OK);
    r->input_count = 0;
    poll_all(r, graph);
  } else if (word[0] == '@') {
    assert_int_equal(bbw_node_tick(r->node, strtoull(word + 1, NULL, 10)), BBW_OK);
    poll_all(r, graph);
  } else if (word[0] == '<') {
    (void)bbw_node_deliver_inbound(r->node, peer_bytes(r, strtoull(word + 1, NULL, 10)), hex_of(r, word + 3, len - 3),
                                   NULL);
    poll_all(r, graph);
  } else if (strncmp(word, "peer", 4) == 0 && equals == NULL) {
    static const uint8_t address[] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0, 0};
    bbw_bytes list = {address, sizeof(address)};
    assert_int_equal(bbw_node_add_peer(r->node, peer_bytes(r, strtoull(word + 4, NULL, 10)), &list, 1, NULL), BBW_OK);
  } else if (word[0] == '#') {
    bbw_type type = type_of(word[2]);
    bbw_typed_bytes result = {bbw_type_hash(type), hex_of(r, word + 4, len - 4)};
    assert_int_equal(bbw_node_complete(r->node, (uint64_t)(word[1] - '0'), &result, 1, NULL), BBW_OK);
    poll_all(r, graph);
  } else if (word[0] == '~') {
    assert_int_equal(bbw_node_fire_lifecycle(r->node, (bbw_str){word + 1, len - 1}, NULL), BBW_OK);
    poll_all(r, graph);
  } else if (strncmp(word, "block", 5) == 0) {
    assert_int_equal(bbw_node_block_peer(r->node, peer_bytes(r, strtoull(word + 5, NULL, 10)), NULL), BBW_OK);
  } else {
    assert_non_null(equals);
    size_t name_len = (size_t)(equals - word);
    r->inputs[r->input_count++] = (bbw_named_bytes){{word, name_len}, hex_of(r, equals + 1, len - name_len - 1)};
  }
}

static void run_script(run *r, const char *graph, const char *script) {
  while (*script != '\0') {
    size_t len = strcspn(script, " ");
    run_word(r, graph, script, len);
    script += len + (script[len] == ' ');
  }
}

static void operators_do_what_their_specification_says(void **state) {
  (void)state;
  unsigned failures = 0;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    test_mem mem;
    test_mem_init(&mem);
    run r = {.len = 0};
    bbw_arena_init(&r.arena, &bbw_mem_libc);
    r.node = artifact_install(cases[i].graph, NULL, &mem.mem, NULL);
    assert_non_null(r.node);
    run_script(&r, cases[i].graph, cases[i].script);
    if (strcmp(r.log, cases[i].log) != 0) {
      print_message("%s:\n  expected: %s\n  got:      %s\n", cases[i].name, cases[i].log, r.log);
      failures++;
    }
    bbw_stats stats;
    bbw_node_stats(r.node, &stats);
    assert_int_equal(stats.ingress_bytes_in_flight, stats.held_bytes);
    assert_int_equal(stats.slot_table_occupied, 0);
    bbw_node_del(r.node);
    bbw_arena_free(&r.arena);
    assert_int_equal(mem.live_bytes, 0);
  }
  assert_int_equal(failures, 0);
}

static void every_operator_has_a_case(void **state) {
  (void)state;
  unsigned missing = 0;
  for (size_t i = 0; i < bbw_op_count(); i++) {
    char wanted[64];
    const bbw_op_row *row = bbw_op_at(i);
    snprintf(wanted, sizeof(wanted), "::%.*s", (int)row->op_type.len, row->op_type.ptr);
    bool is_found = false;
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]) && !is_found; k++) {
      const char *at = strstr(cases[k].graph, wanted);
      for (; at != NULL && !is_found; at = strstr(at + 1, wanted)) {
        is_found = strchr(" \n", at[strlen(wanted)]) != NULL;
      }
    }
    if (!is_found) { print_message("no case for %s\n", wanted + 2); }
    missing += !is_found;
  }
  assert_int_equal(missing, 0);
}

/* Every allocation of every case fails once in turn; the node answers, goes on and leaves nothing behind. */
static void operators_survive_failing_memory(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    bool is_done = false;
    for (size_t nth = 0; !is_done; nth++) {
      test_mem mem;
      test_mem_init(&mem);
      bbw_node *node = artifact_install(cases[i].graph, NULL, &mem.mem, NULL);
      assert_non_null(node);
      const uint8_t byte = 1;
      bbw_named_bytes inputs[2] = {{BBW_STR("x"), {&byte, 1}}, {BBW_STR("t"), {&byte, 1}}};
      uint64_t exec_id;
      bbw_bytes steps;
      bool is_pending = false;
      test_mem_fail_at(&mem, nth);
      (void)bbw_node_invoke(node, BBW_STR("M"), inputs, 1, &exec_id, NULL);
      (void)bbw_node_poll(node, &steps, &is_pending, NULL);
      (void)bbw_node_poll(node, &steps, &is_pending, NULL);
      is_done = mem.alloc_count <= nth; /* none failed */
      test_mem_fail_at(&mem, TEST_MEM_NEVER);
      for (uint64_t k = 1; k < 20; k++) {
        assert_int_equal(bbw_node_tick(node, k * 1000), BBW_OK);
        assert_int_equal(bbw_node_poll(node, &steps, &is_pending, NULL), BBW_OK);
      }
      bbw_stats stats;
      bbw_node_stats(node, &stats);
      if (stats.executions == 0) { assert_int_equal(stats.ingress_bytes_in_flight, stats.held_bytes); }
      assert_int_equal(stats.executions, stats.pending_async);
      bbw_node_del(node);
      assert_int_equal(mem.live_bytes, 0);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(operators_do_what_their_specification_says),
      cmocka_unit_test(every_operator_has_a_case),
      cmocka_unit_test(operators_survive_failing_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
