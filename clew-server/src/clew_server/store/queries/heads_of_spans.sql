-- The beginnings of all spans of the listed traces: id, trace state, parent. Only of traces with so few spans, and none that may be a fragment.
SELECT trace_id, groupArrayArray(arrayMap(x->substring(x,21,if(substring(x,29,1)='\x1a',{bytes:UInt64},18)),raw)) FROM chunks
WHERE trace_id IN (SELECT trace_id FROM traces WHERE trace_id IN IDS GROUP BY trace_id HAVING sum(spans)<={spans:UInt64})
GROUP BY trace_id HAVING NOT max(arrayExists(x->OF_FRAGMENT(x),raw))
