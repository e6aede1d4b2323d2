-- Of each part of `spans` how many rows it has, and how many at most start in some hours: by the first row of those that are read together, and the last
-- ones before these hours, which may reach into them. Asks the key that is in memory, not the rows. One SELECT: each more takes a millisecond.
SELECT part_name, sum(rows_in_granule), sumIf(rows_in_granule,`toStartOfHour(start)` BETWEEN toDateTime({from:Int64},'UTC') AND toDateTime({to:Int64},'UTC'))+argMaxIf(rows_in_granule,mark_number,`toStartOfHour(start)`<toDateTime({from:Int64},'UTC'))
FROM mergeTreeIndex(currentDatabase(), spans) WHERE IS_READ GROUP BY part_name
