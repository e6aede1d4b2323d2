-- Of all traces: counts, estimates, percentiles of lengths with the shortest and the longest, the oldest and newest start, the newest end, whether of some
-- it is not known by themselves if they failed (1) and whether some are sampled (2). And the cells of the heatmap, a list of each figure: column, lower edge of the row, traces,
-- those that failed, and of how many these tell, where some are sampled. A cell that lies partly in the box is listed twice. The lengths are collected by
-- cell and ordered once. What is grouped by is of few bytes, what is selected is one of it instead of figures of its own, two flags are one: each costs less.
SELECT sum(n), sum(n_failed), sumIf(n,is_selected), sumIf(n_failed,is_selected), round(sum(w)), round(sum(w_failed)), round(sumIf(w,is_selected)), round(sumIf(w_failed,is_selected)),
 quantilesExactMerge(0,0.5,0.95,0.99,1)(lengths), min(oldest), max(newest), max(ends), groupBitOr(some) AS of_some,
 groupArray(x), groupArray(y), groupArray(n), groupArray(n_failed), if(of_some>=2,groupArray(w),[]), if(of_some>=2,groupArray(w_failed),[])
FROM (SELECT x, y, is_selected, count() AS n, countIf(has_failed) AS n_failed, sum(weight) AS w, sumIf(weight,has_failed) AS w_failed,
 quantilesExactState(0,0.5,0.95,0.99,1)(length_ns) AS lengths, min(start_ns) AS oldest, max(start_ns) AS newest, max(start_ns+length_ns) AS ends,
 groupBitOr(is_unknown+2*(weight!=1)) AS some
 FROM (SELECT toUInt16(intDiv(start_ns-{x0_ns:Int64},{step_ns:Int64})) AS x, roundDown(length_ns,{y_ns:Array(Int64)}) AS y, start_ns, length_ns, has_failed, is_unknown, is_selected, weight
  FROM (MEMBERS))
 GROUP BY x, y, is_selected)
