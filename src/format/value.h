/*
 * value: the parts of bbw/value.h that the payload decoder shares with the makers.
 *
 * One value is one allocation: the struct, then an array (dims, views, pointers, hits), then plain data aligned to 16.
 */
#ifndef BBW_FORMAT_VALUE_H
#define BBW_FORMAT_VALUE_H

#include "bbw/value.h"

/* A value of that type with one reference, no field set, and room for array_bytes (zeroed) and data_bytes (not zeroed).  NULL when
 * memory runs out or the sizes do not fit. */
bbw_value *bbw_value_alloc(bbw_type type, size_t array_count, size_t array_item_bytes, size_t data_count,
                           size_t data_item_bytes, const bbw_mem *mem, void **array, void **data);

/* Sets depth and payload_bytes from the fields; called once, when everything else is in place.  BBW_OK or BBW_E_DEPTH. */
bbw_status bbw_value_seal(bbw_value *value);

/*
 * bbw_value_decode of a payload that lies in memory of `owner`: Bytes become a view into it and keep it.  Only for payloads that are most of what the owner holds, or a small value
 * keeps much.
 */
bbw_status bbw_value_decode_shared(bbw_value **out, uint64_t type_hash, bbw_bytes payload, bbw_shared *owner,
                                   const bbw_mem *mem, bbw_error *err);

/* Elements of a tensor of these dims.  False when the rank is above BBW_TENSOR_RANK_MAX, or when the product of the dims that are not
 * zero is above 2^63 - 1 (the reference's rule), or when the elements do not fit in memory. */
bool bbw_tensor_count(const uint64_t *dims, size_t rank, size_t *count);

#endif
