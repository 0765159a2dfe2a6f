package main

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"
)

// Job is one unit of work.
type Job struct {
	ID      int
	Payload string
}

func worker(ctx context.Context, jobs <-chan Job, wg *sync.WaitGroup) {
	defer wg.Done()
	for {
		select {
		case job, ok := <-jobs:
			if !ok {
				return
			}
			fmt.Printf("job %d: %s\n", job.ID, job.Payload)
		case <-ctx.Done():
			log.Println(ctx.Err())
			return
		}
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	jobs := make(chan Job, 8)
	var wg sync.WaitGroup
	wg.Add(1)
	go worker(ctx, jobs, &wg)
	jobs <- Job{ID: 1, Payload: "hello"}
	close(jobs)
	wg.Wait()
}
