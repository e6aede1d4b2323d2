-- Of the listed traces: how many different spans failed. A span's id and status are in `spans`, its bytes in `chunks`:
-- where all the spans of one id failed, those are as many as there are different bytes. The ids of which some failed and
-- some did not come in the last column, their bytes have to be looked at.
SELECT lower(hex(trace_id)), sumIf(u,n=f), groupArrayIf(lower(hex(id)),n!=f)
FROM (SELECT trace_id, id, count() AS n, uniqExact(z) AS u
 FROM (SELECT trace_id, toFixedString(x.1,8) AS id, x.2 AS z
  FROM (SELECT trace_id, arrayJoin(arrayMap((a,b,c)->(if(OF_FRAGMENT(c),'',substring(c,21,8)),sipHash128(a,b,c)),res,scope,raw)) AS x FROM chunks WHERE trace_id IN IDS) WHERE x.1!='')
 GROUP BY trace_id, id) AS stored
INNER JOIN (SELECT trace_id, span_id AS id, count() AS f FROM spans
 WHERE SPAN_WINDOW AND start!=FRAGMENT AND status=2 AND trace_id IN IDS GROUP BY trace_id, id) AS failed USING (trace_id, id)
GROUP BY trace_id
