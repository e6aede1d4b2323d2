-- Ids of traces between two, those next to a third: they have the longest beginning in common with it. By the order of the table.
SELECT lower(hex(trace_id)) FROM (
 SELECT DISTINCT trace_id FROM traces WHERE trace_id>=unhex({from:String}) AND trace_id<unhex({at:String}) ORDER BY trace_id DESC LIMIT {limit:UInt64}
 UNION ALL SELECT DISTINCT trace_id FROM traces WHERE trace_id>=unhex({at:String}) AND trace_id<=unhex({to:String}) ORDER BY trace_id LIMIT {limit:UInt64})
