defmodule Counter.Server do
  @moduledoc """
  Keeps a number.
  """
  use GenServer
  require Logger

  @timeout 5_000

  def start_link(opts \\ []) do
    GenServer.start_link(__MODULE__, 0, Keyword.put_new(opts, :name, __MODULE__))
  end

  def increment(by \\ 1) when is_integer(by), do: GenServer.call(__MODULE__, {:increment, by}, @timeout)

  @impl true
  def init(count), do: {:ok, count}

  @impl true
  def handle_call({:increment, by}, _from, count) do
    new = count + by
    Logger.info("now #{new}")
    {:reply, {:ok, new}, new}
  end

  defp format(list) do
    list
    |> Enum.map(&to_string/1)
    |> Enum.join(", ")
  end
end
