-- The spans for which one condition of a relation holds.
SELECT trace_id, span_id, parent_id FROM spans WHERE SPAN_WINDOW AND start!=FRAGMENT AND TRACE_SETS AND SPAN_CONDITIONS LIMIT {limit:UInt64}
