KILL QUERY WHERE query_id!=queryID() ASYNC
