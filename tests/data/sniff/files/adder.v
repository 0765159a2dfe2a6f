`timescale 1ns / 1ps

module adder #(parameter WIDTH = 8) (
    input  wire             clk,
    input  wire             rst_n,
    input  wire [WIDTH-1:0] a,
    input  wire [WIDTH-1:0] b,
    output reg  [WIDTH:0]   sum
);
    always @(posedge clk or negedge rst_n) begin
        if (!rst_n)
            sum <= {(WIDTH + 1){1'b0}};
        else
            sum <= a + b;
    end
endmodule

module testbench;
    reg clk = 0;
    always #5 clk = ~clk;
    initial begin
        $display("start");
        #100 $finish;
    end
endmodule
