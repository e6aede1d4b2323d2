-- Spans of some traces, each with its trace's number. Not asked by itself: other statements contain it. The engine filters the spans by the join's traces as it reads them.
SELECT number, COLUMNS_OF_SPANS FROM spans INNER JOIN (SELECT trace_id, NUMBER_OF_TRACE AS number FROM (MEMBERS)) AS members USING (trace_id)
WHERE SPAN_WINDOW AND start!=FRAGMENT
