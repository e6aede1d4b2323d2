-- All spans of some traces: id, parent, and which of the conditions of a relation hold, as bits.
SELECT trace_id, groupArray((span_id,parent_id,toUInt64(MASK))) FROM spans
WHERE SPAN_WINDOW AND start!=FRAGMENT AND TRACE_SETS GROUP BY trace_id
