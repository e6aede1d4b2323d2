-- Spans of some traces, each with its trace's number. Not asked by itself: other statements contain it. Of these spans no more are read than the join takes.
spans INNER JOIN (SELECT trace_id, NUMBER_OF_TRACE AS number FROM (MEMBERS)) AS members USING (trace_id) WHERE SPAN_WINDOW AND start!=FRAGMENT
