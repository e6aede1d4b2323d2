-- How many rows `spans` has, and how many at most may start in some hours: by the first row of those that are read together, and of each part
-- the last ones before these hours, which may reach into them. Asks the key that is in memory, not the rows.
-- Then how many of the latter are in parts whose keys are not counted, and about how many sets of keys the others have (schema step 21).
WITH (SELECT (groupArray(parent_name),groupArray(rows)) FROM system.projection_parts WHERE database=currentDatabase() AND table='spans' AND name='key_sets' AND active AND NOT is_broken) AS counted
SELECT sum(n), sum(within+before), sumIf(within+before,at=0), toUInt64(sumIf(counted.2[at]*(within+before)/n,at>0)) FROM
 (SELECT part_name, indexOf(counted.1,part_name) AS at, sum(rows_in_granule) AS n, sumIf(rows_in_granule,h BETWEEN {from:Int64} AND {to:Int64}) AS within, argMaxIf(rows_in_granule,mark_number,h<{from:Int64}) AS before
 FROM (SELECT part_name, mark_number, rows_in_granule, toInt64(toUnixTimestamp(`toStartOfHour(start)`)) AS h FROM mergeTreeIndex(currentDatabase(), spans) WHERE IS_READ) GROUP BY part_name)
