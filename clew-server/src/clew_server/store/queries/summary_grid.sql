-- Traces by cell of the heatmap (column, and the lower edge of the row), and of all cells together: the first column tells which.
SELECT grouping(x), x, y, count(), countIf(has_failed), countIf(is_selected), countIf(is_selected AND has_failed),
 quantilesExact(0.5,0.95,0.99)(length_ns), max(weight!=1), round(sum(weight)), round(sumIf(weight,has_failed)),
 round(sumIf(weight,is_selected)), round(sumIf(weight,is_selected AND has_failed))
FROM (SELECT intDiv(start_ns-{x0_ns:Int64},{step_ns:Int64}) AS x, roundDown(length_ns,{y_ns:Array(Int64)}) AS y, length_ns, has_failed, is_selected, weight
 FROM (MEMBERS))
GROUP BY GROUPING SETS ((x,y),()) ORDER BY x, y
