-- Of all traces: counts, percentiles of lengths and estimates; and the cells of the heatmap: column, lower edge of the row, traces, those that
-- failed, and of how many these tell. The lengths are collected by cell and ordered once.
SELECT sum(n), sum(n_failed), sum(n_selected), sum(n_both), quantilesExactMerge(0.5,0.95,0.99)(lengths), max(is_sampled),
 round(sum(w)), round(sum(w_failed)), round(sum(w_selected)), round(sum(w_both)), groupArray((x,y,n,n_failed,round(w),round(w_failed)))
FROM (SELECT x, y, count() AS n, countIf(has_failed) AS n_failed, countIf(is_selected) AS n_selected, countIf(is_selected AND has_failed) AS n_both,
 quantilesExactState(0.5,0.95,0.99)(length_ns) AS lengths, max(weight!=1) AS is_sampled,
 sum(weight) AS w, sumIf(weight,has_failed) AS w_failed, sumIf(weight,is_selected) AS w_selected, sumIf(weight,is_selected AND has_failed) AS w_both
 FROM (SELECT intDiv(start_ns-{x0_ns:Int64},{step_ns:Int64}) AS x, roundDown(length_ns,{y_ns:Array(Int64)}) AS y, length_ns, has_failed, is_selected, weight
  FROM (MEMBERS))
 GROUP BY x, y)
