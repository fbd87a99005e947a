/*
 * ingress: what the host handed in and the next poll works on.
 *
 * A bounded ring; when it is full the host keeps its bytes and may offer them again.  Events own what they carry, charges included.  Completions and time do not pass through here
 * (async.h, engine.h), so they are never refused for lack of room.  Source: engine specification §8.
 */
#ifndef BBW_ENGINE_INGRESS_H
#define BBW_ENGINE_INGRESS_H

#include "engine/frame.h"
#include "format/envelope.h"

typedef struct bbw_seed {
  uint32_t site;
  bbw_value *value; /* owned */
  size_t charge;
} bbw_seed;

/*
 * A decoded envelope: one allocation that begins with what its executions want to know, then this struct, the lists of the envelope, and its bytes.  Executions and values keep a
 * small one as it is, so that one envelope costs one allocation; payloads that are most of a large one are kept where they came in.
 */
typedef struct bbw_inbound_event {
  bbw_inbound inbound;
  bbw_bytes bytes; /* as they came */
  bbw_envelope envelope;
  size_t charge;
} bbw_inbound_event;

/* An event of more bytes than this is not kept for what is only a part of it. */
#define BBW_INBOUND_KEEP_BYTES 1024u
/* Payloads from here on are not copied, if they are at least half of their envelope. */
#define BBW_INBOUND_SHARE_BYTES 4096u

typedef enum bbw_ingress_kind {
  BBW_INGRESS_APP_EVENT,
  BBW_INGRESS_INVOKE,
  BBW_INGRESS_ENVELOPE,
  BBW_INGRESS_SEND_FAILED,
} bbw_ingress_kind;

typedef struct bbw_failed_send {
  bbw_peer_id peer;
  uint64_t wire_req_id;
} bbw_failed_send;

typedef struct bbw_ingress_event {
  bbw_ingress_kind kind;
  bbw_graph *graph; /* APP_EVENT, INVOKE */
  bbw_seed *seeds;  /* APP_EVENT (one), INVOKE; an array of seed_room, or NULL: it is `one` */
  size_t seed_room;
  size_t seed_count;
  bbw_seed one;                /* most events have one value; it costs no allocation */
  uint64_t exec_id;            /* INVOKE */
  bbw_inbound_event *envelope; /* ENVELOPE */
  bbw_failed_send *failed;     /* SEND_FAILED */
} bbw_ingress_event;

static inline const bbw_seed *bbw_ingress_seeds(const bbw_ingress_event *event) {
  return event->seeds != NULL ? event->seeds : &event->one;
}

typedef struct bbw_ingress {
  const bbw_mem *mem;
  bbw_ingress_event *events; /* ring of cap; allocated when the first event comes */
  size_t cap;
  size_t size; /* allocated entries, grows up to cap */
  size_t head;
  size_t count;
  uint64_t dropped; /* refused because the queue was full */
} bbw_ingress;

void bbw_ingress_init(bbw_ingress *ingress, size_t cap, const bbw_mem *mem);
/* The queue must be empty. */
void bbw_ingress_free(bbw_ingress *ingress);
/* Makes room for one event: BBW_OK, BBW_E_INGRESS_FULL (counted) or BBW_E_NOMEM.  The next push then cannot fail. */
bbw_status bbw_ingress_reserve(bbw_ingress *ingress);
void bbw_ingress_push(bbw_ingress *ingress, const bbw_ingress_event *event);
bool bbw_ingress_pop(bbw_ingress *ingress, bbw_ingress_event *out);
/* pop of an event that was worked on in its place; the queue must not be empty. */
void bbw_ingress_drop(bbw_ingress *ingress);

/* From scanned bytes, which are copied.  NULL when memory runs out. */
bbw_inbound_event *bbw_inbound_event_new(const bbw_envelope_scan *scan, const bbw_mem *mem);
/* An event with room for `len` bytes, which the host writes to *bytes; NULL when memory runs out. */
bbw_inbound_event *bbw_inbound_event_reserve(size_t len, uint8_t **bytes, const bbw_mem *mem);
/* Takes the scan of the bytes that were written there.  False when the lists of the envelope need more room than there is. */
bool bbw_inbound_event_fill(bbw_inbound_event *event, const bbw_envelope_scan *scan);
/* Forgets the event; what is shared stays with those who keep it. */
void bbw_inbound_event_del(bbw_inbound_event *event, const bbw_mem *mem);

#endif
