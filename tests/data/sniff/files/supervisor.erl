-module(counter_sup).
-behaviour(supervisor).

-export([start_link/0, init/1]).

-define(SERVER, ?MODULE).

-spec start_link() -> {ok, pid()} | ignore | {error, term()}.
start_link() ->
    supervisor:start_link({local, ?SERVER}, ?MODULE, []).

init([]) ->
    Flags = #{strategy => one_for_one, intensity => 3, period => 10},
    Children = [
        #{id => counter, start => {counter, start_link, []}, restart => permanent, type => worker}
    ],
    {ok, {Flags, Children}}.

loop(State) ->
    receive
        {From, get} ->
            From ! {self(), State},
            loop(State);
        stop ->
            io:format("stopping with ~p~n", [State]),
            ok
    after 1000 ->
        loop(State + 1)
    end.
