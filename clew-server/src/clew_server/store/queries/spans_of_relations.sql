-- The spans of the traces that have one for each condition of a relation: id, parent, and which of the conditions hold, as bits.
SELECT lower(hex(trace_id)), groupArray((hex(span_id),hex(parent_id),MASK)) FROM spans
WHERE SPAN_WINDOW AND start!=FRAGMENT AND TRACE_SETS GROUP BY trace_id
