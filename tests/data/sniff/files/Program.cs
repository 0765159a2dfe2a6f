using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading.Tasks;

namespace Example.Orders
{
    public record Order(Guid Id, string Customer, decimal Total);

    public interface IOrderStore
    {
        Task<IReadOnlyList<Order>> FindAsync(string customer);
    }

    public sealed class MemoryStore : IOrderStore
    {
        private readonly List<Order> _orders = new();

        public void Add(Order order) => _orders.Add(order ?? throw new ArgumentNullException(nameof(order)));

        public Task<IReadOnlyList<Order>> FindAsync(string customer)
        {
            IReadOnlyList<Order> found = _orders.Where(o => o.Customer == customer).ToList();
            return Task.FromResult(found);
        }
    }

    internal static class Program
    {
        private static async Task Main(string[] args)
        {
            var store = new MemoryStore();
            store.Add(new Order(Guid.NewGuid(), "Ada", 12.5m));
            foreach (var order in await store.FindAsync("Ada"))
            {
                Console.WriteLine($"{order.Id}: {order.Total:C}");
            }
        }
    }
}
