package com.example.shop;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Counts what is on the shelves. */
public final class Inventory {
    private final Map<String, Integer> stock = new HashMap<>();

    public synchronized void add(String article, int count) {
        if (count <= 0) {
            throw new IllegalArgumentException("count must be positive: " + count);
        }
        stock.merge(article, count, Integer::sum);
    }

    public List<String> scarce(int threshold) {
        List<String> result = new ArrayList<>();
        for (Map.Entry<String, Integer> entry : stock.entrySet()) {
            if (entry.getValue() < threshold) {
                result.add(entry.getKey());
            }
        }
        return result;
    }

    public static void main(String[] args) {
        Inventory inventory = new Inventory();
        inventory.add("apples", 3);
        System.out.println(inventory.scarce(5));
    }
}
