# frozen_string_literal: true

require 'json'
require 'bigdecimal'

module Billing
  class Invoice
    attr_reader :number, :lines

    def initialize(number)
      @number = number
      @lines = []
    end

    def add(description, amount)
      raise ArgumentError, 'amount must be positive' unless amount.positive?

      @lines << { description: description, amount: BigDecimal(amount.to_s) }
      self
    end

    def total
      lines.sum { |line| line[:amount] }
    end

    def to_json(*args)
      { number: number, total: total.to_s('F') }.to_json(*args)
    end
  end
end

invoice = Billing::Invoice.new(42)
invoice.add('paper', 3.5).add('ink', 12)
puts invoice.to_json
%w[a b c].each_with_index do |name, index|
  puts "#{index}: #{name}"
end
