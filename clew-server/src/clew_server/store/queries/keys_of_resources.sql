-- Keys of attributes of the resources of some spans, with how many spans have them.
SELECT k, sum(n) AS spans FROM (SELECT res_key, count() AS n FROM spans PREWHERE SAMPLE WHERE SPAN_WINDOW AND SPAN_CONDITIONS GROUP BY res_key) AS some
INNER JOIN (SELECT DISTINCT res_key, arrayJoin(mapKeys(attrs)) AS k FROM resources) AS keys USING (res_key)
GROUP BY k ORDER BY spans DESC, k LIMIT {limit:UInt64}
