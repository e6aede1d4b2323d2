-- Ids of traces that end with these 8 bytes, and those that have a span with this id. Which of the two: 0 and 1.
SELECT lower(hex(id)), is_span FROM (
 SELECT DISTINCT trace_id AS id, 0 AS is_span FROM traces WHERE substring(trace_id,9,8)=unhex({half:String}) ORDER BY id LIMIT {limit:UInt64}
 UNION ALL SELECT DISTINCT trace_id AS id, 1 AS is_span FROM spans WHERE span_id=toFixedString(unhex({half:String}),8) LIMIT {limit:UInt64})
